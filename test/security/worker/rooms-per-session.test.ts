import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { parseToken, splitToken } from "../../../protocol/session-token.ts";
import type { Bindings } from "../../../worker/app-env.ts";
import { roomIdentity } from "../../../worker/rooms/room-admission.ts";
import { hashSecret } from "../../../worker/session-store/secrets.ts";
import { newRoom, roomObject } from "../../worker/rooms/room-object.ts";
import { joinPacket, RoomPlayer } from "../../worker/rooms/room-player.ts";
import { createSession } from "../../worker/routes/edge-client.ts";

const MOST = 20;

/** The session's rooms are an hour older. */
async function anHourLater(token: string): Promise<void> {
  const bytes = parseToken(token);
  if (bytes === undefined) throw new Error("no token");
  const { sessid, secret } = splitToken(bytes);
  const { session } = roomIdentity({ sessid, secretHash: await hashSecret(secret), user: "any" });
  const counter = (env as unknown as Bindings).SESSION_ROOMS.getByName(session);
  await runInDurableObject(counter, (_, { storage }) => {
    expect(storage.sql.exec("UPDATE rooms SET at = at - 3600000").rowsWritten).toBeGreaterThan(0);
  });
}

describe("one session", () => {
  it("enters 20 rooms at most, may return to each, and may enter another one after it has left one", async () => {
    const { token } = await createSession();
    const rooms = Array.from({ length: MOST }, newRoom);
    const players = await Promise.all(rooms.map((room) => RoomPlayer.join(room, token)));
    const more = newRoom();
    expect(await (await RoomPlayer.dial(more, token)).closed()).toBe(ClosedCode.RoomFull);
    expect((await roomObject(more).inspect()).epoch).toBe(0);
    for (const room of rooms.slice(0, 2)) await RoomPlayer.join(room, token, { attempt: 2 });

    const left = players[5];
    left?.send({ kind: "leave" });
    await left?.closed();
    // Within a minute it counts: an empty room costs too.
    expect(await (await RoomPlayer.dial(more, token)).closed()).toBe(ClosedCode.RoomFull);
    await anHourLater(token);
    const player = await RoomPlayer.dial(more, token);
    player.send(joinPacket(more));
    expect(await player.first("joined")).toMatchObject({ resumed: false });
    expect(await (await RoomPlayer.dial(newRoom(), token)).closed()).toBe(ClosedCode.RoomFull);
  });

  it("does not use up the rooms of another session", async () => {
    const [one, other] = [await createSession(), await createSession()];
    const rooms = Array.from({ length: MOST }, newRoom);
    await Promise.all(rooms.map((room) => RoomPlayer.dial(room, one.token)));
    await RoomPlayer.join(newRoom(), other.token);
  });
});
