import { Hono } from "hono";
import * as v from "valibot";
import { isRoomName, MAX_BODY_BYTES, MAX_ROOM_BYTES } from "../../protocol/player-packets.ts";
import type { AppEnv } from "../app-env.ts";
import { problem } from "../http/problem.ts";
import { User } from "../http/schemas.ts";
import { jsonBody, pathParams } from "../http/validate.ts";

const MAX_U32 = 2 ** 32 - 1;

const utf8 = new TextEncoder();

/** The name of a room in a path. */
export const RoomName = v.pipe(
  v.string(),
  v.check(isRoomName, `allowed are 1..${MAX_ROOM_BYTES} characters of [A-Za-z0-9_.-]`),
);

const Member = v.pipe(
  v.number("allowed is a member's number"),
  v.integer("allowed is a member's number"),
  v.minValue(1, `allowed is 1..${MAX_U32}`),
  v.maxValue(MAX_U32, `allowed is 1..${MAX_U32}`),
  v.metadata({ description: "A player's number in the room, as Joined tells it" }),
);

/** A member's number in a path. */
const MemberText = v.pipe(
  v.string(),
  v.regex(/^[0-9]{1,10}$/, "allowed is a member's number"),
  v.transform(Number),
  Member,
);

/** POST /v1/rooms/{room}/messages */
export const RoomMessageBody = v.pipe(
  v.strictObject({
    text: v.optional(
      v.pipe(
        v.string("allowed is a text"),
        v.check((text) => text.isWellFormed(), "allowed is what UTF-8 can say, no half of a surrogate pair"),
        v.check((text) => utf8.encode(text).length <= MAX_BODY_BYTES, tooLong()),
        v.metadata({ description: "The message's body, sent as UTF-8" }),
      ),
    ),
    base64: v.optional(
      v.pipe(
        v.string("allowed is base64"),
        v.base64("allowed is base64"),
        v.check((text) => Math.floor((text.replace(/=+$/, "").length * 6) / 8) <= MAX_BODY_BYTES, tooLong()),
        v.metadata({ description: "The same as any bytes" }),
      ),
    ),
    to: v.optional(Member),
  }),
  v.forward(
    v.partialCheck(
      [["text"], ["base64"]],
      ({ text, base64 }) => (text === undefined) !== (base64 === undefined),
      'needed is exactly one of "text" and "base64"',
    ),
    ["text"],
  ),
);

/** The body of a message. */
function messageBody({ text, base64 }: v.InferOutput<typeof RoomMessageBody>): Uint8Array {
  return base64 === undefined
    ? utf8.encode(text)
    : Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The response to a message: its offset in the log. */
export const PostedMessage = v.object({ offset: v.pipe(v.number(), v.integer()) });

/** GET /v1/rooms/{room} */
export const RoomView = v.object({
  epoch: v.pipe(
    v.number(),
    v.integer(),
    v.metadata({ description: "Incarnation of the log, 0 while nothing is kept" }),
  ),
  offset: v.pipe(v.number(), v.integer(), v.metadata({ description: "Highest offset of the log" })),
  members: v.array(
    v.object({
      member: Member,
      user: User,
      connected: v.pipe(v.boolean(), v.metadata({ description: "false while the connection is lost, the seat held" })),
    }),
  ),
});

function tooLong(): string {
  return `allowed are ${MAX_BODY_BYTES} bytes`;
}

const RoomParam = v.object({ room: RoomName });
const MemberParam = v.object({ room: RoomName, member: MemberText });

const NO_MEMBER = "no such member in this room";

/** `/v1/rooms/{room}`: what services do with a room. */
export const rooms = new Hono<AppEnv>()
  .get("/:room", pathParams(RoomParam), async (c) => {
    using state = await c.env.ROOMS.getByName(c.req.valid("param").room).inspect();
    return c.json({ epoch: state.epoch, offset: state.offset, members: state.members });
  })
  .post("/:room/messages", pathParams(RoomParam), jsonBody(RoomMessageBody), async (c) => {
    const { room } = c.req.valid("param");
    const message = c.req.valid("json");
    const offset = await c.env.ROOMS.getByName(room).postAsServer(room, message.to ?? 0, messageBody(message));
    return offset === undefined ? problem(c, "not_found", `to: ${NO_MEMBER}`) : c.json({ offset }, 201);
  })
  .delete("/:room/members/:member", pathParams(MemberParam), async (c) => {
    const { room, member } = c.req.valid("param");
    const removed = await c.env.ROOMS.getByName(room).removeMember(member);
    return removed ? c.body(null, 204) : problem(c, "not_found", `member: ${NO_MEMBER}`);
  });
