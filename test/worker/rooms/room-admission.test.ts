import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { formatToken, parseToken } from "../../../protocol/session-token.ts";
import type { Bindings } from "../../../worker/app-env.ts";
import { openIsolate } from "../../../worker/isolate.ts";
import { runOne } from "../../../worker/session-store/session-store.ts";
import { ask, askAsClient, askAsService, type Created, createSession, problemOf } from "../routes/edge-client.ts";
import { newRoom } from "./room-object.ts";
import { joinPacket, RoomPlayer } from "./room-player.ts";

const NOBODY = "A".repeat(27);

describe("the upgrade to a room", () => {
  const refused = async (credential: string | Record<string, string>, room = newRoom()) =>
    (await RoomPlayer.dial(room, credential)).closed();

  it("admits a token as Bearer, and as the cookie of a page of this host", async () => {
    const { token } = await createSession();
    const cookie = { Cookie: `__Host-sid=${token}`, Origin: "https://edge.test" };
    expect((await RoomPlayer.join(newRoom(), token)).closeCode).toBeUndefined();
    const player = await RoomPlayer.dial(newRoom(), cookie);
    player.send(joinPacket(player.room));
    expect(await player.first("joined")).toMatchObject({ member: 1, resumed: false });
  });

  it("refuses a client without a session with a Closed packet", async () => {
    expect(await refused({})).toBe(ClosedCode.SessionInvalid);
    expect(await refused("not-a-token")).toBe(ClosedCode.SessionInvalid);
    expect(await refused(NOBODY)).toBe(ClosedCode.SessionInvalid);
  });

  it("refuses a token whose session was ended", async () => {
    const { token, sessid } = await createSession();
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    expect(await refused(token)).toBe(ClosedCode.SessionInvalid);
  });

  it("refuses a token whose session has expired", async () => {
    const short = await askAsService("POST", "/v1/sessions", { user: "kim", ttlSeconds: 1 });
    const { token, sessid } = await short.json<Created>();
    const read = async () => (await askAsService("GET", `/v1/sessions/${sessid}`)).status;
    await expect.poll(read, { timeout: 30_000 }).toBe(404);
    expect(await refused(token)).toBe(ClosedCode.SessionInvalid);
  });

  it("refuses an anonymous session", async () => {
    const { store } = openIsolate(env as unknown as Bindings);
    const { token } = await runOne(store, { kind: "issue", user: null, ip: null, grants: [] });
    expect(await refused(formatToken(token))).toBe(ClosedCode.SessionInvalid);
  });

  it("admits a session only to the rooms that its grants name", async () => {
    const { token } = await createSession({ grants: ["room:lobby", "room:arena-*"] });
    expect(await refused(token, "lobby2")).toBe(ClosedCode.Denied);
    for (const room of ["lobby", "arena-7"]) {
      expect((await (await RoomPlayer.join(room, token)).first("joined")).resumed).toBe(false);
    }
  });

  it.each(["https://elsewhere.test", undefined])("refuses the cookie with the Origin %s", async (origin) => {
    const { token } = await createSession();
    const cookie = { Cookie: `__Host-sid=${token}` };
    expect(await refused(origin === undefined ? cookie : { ...cookie, Origin: origin })).toBe(ClosedCode.Denied);
  });

  it("refuses a Join with another token, and accepts its own token or none", async () => {
    const { token } = await createSession();
    const other = await createSession();
    const dial = async (shown: string) => {
      const player = await RoomPlayer.dial(newRoom(), token);
      player.send(joinPacket(player.room, { token: parseToken(shown) ?? new Uint8Array(20) }));
      return player;
    };
    expect((await (await dial(token)).first("joined")).member).toBe(1);
    expect(await (await dial(other.token)).closed()).toBe(ClosedCode.SessionInvalid);
  });

  it.each(["a%2Fb", "caf%C3%A9", "a%20b", "x".repeat(65)])("responds to the room name %s with 400", async (room) => {
    const { token } = await createSession();
    const answer = await askAsClient(token, `/v1/rooms/${room}/socket`, { headers: { Upgrade: "websocket" } });
    expect(await problemOf(answer)).toMatchObject({ status: 400, code: "invalid" });
  });

  it("responds to a room name with a slash as to an unknown route", async () => {
    const answer = await ask("/v1/rooms/a/b/socket", { headers: { Upgrade: "websocket" } });
    expect(answer.status).toBeGreaterThanOrEqual(400);
  });

  it("responds to a request without an upgrade with 400", async () => {
    const { token } = await createSession();
    expect(await problemOf(await askAsClient(token, "/v1/rooms/lobby/socket"))).toMatchObject({ code: "invalid" });
  });
});
