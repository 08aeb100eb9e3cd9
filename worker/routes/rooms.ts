import { Hono } from "hono";
import * as v from "valibot";
import type { AppEnv } from "../app-env.ts";
import { problem } from "../http/problem.ts";
import { MemberText, messageBody, RoomMessageBody, RoomName } from "../http/room-schemas.ts";
import { jsonBody, pathParams } from "../http/validate.ts";

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
    const offset = await c.env.ROOMS.getByName(room).speak(room, message.to ?? 0, messageBody(message));
    return offset === undefined ? problem(c, "not_found", `to: ${NO_MEMBER}`) : c.json({ offset }, 201);
  })
  .delete("/:room/members/:member", pathParams(MemberParam), async (c) => {
    const { room, member } = c.req.valid("param");
    const removed = await c.env.ROOMS.getByName(room).kick(member);
    return removed ? c.body(null, 204) : problem(c, "not_found", `member: ${NO_MEMBER}`);
  });
