import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { MAX_BODY_BYTES } from "../../../protocol/player-packets.ts";
import { ask, askAsService, createSession, problemOf } from "../routes/edge-client.ts";
import { joinAs, newRoom } from "./room-object.ts";
import { RoomPlayer } from "./room-player.ts";

describe("services and rooms", () => {
  it("see the members of a room", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const lee = await joinAs(room, "lee");
    const { epoch } = await kim.first("joined");
    lee.drop();
    await kim.until(() => kim.all("presence").at(-1)?.state === 2);
    expect(await (await askAsService("GET", `/v1/rooms/${room}`)).json()).toEqual({
      epoch,
      offset: 3,
      members: [
        { member: 1, user: "kim", connected: true },
        { member: 2, user: "lee", connected: false },
      ],
    });
  });

  it("see an unknown room as an empty one, and store nothing there", async () => {
    const room = newRoom();
    for (let time = 0; time < 2; time++) {
      expect(await (await askAsService("GET", `/v1/rooms/${room}`)).json()).toEqual({
        epoch: 0,
        offset: 0,
        members: [],
      });
    }
  });

  it("post to a room, as text and as bytes, and to one member", async () => {
    const room = newRoom();
    const [kim, lee] = [await joinAs(room, "kim"), await joinAs(room, "lee")];
    const say = async (body: unknown) => {
      const answer = await askAsService("POST", `/v1/rooms/${room}/messages`, body);
      return [answer.status, await answer.json()];
    };
    expect(await say({ text: "안녕" })).toEqual([201, { offset: 3 }]);
    expect(await say({ base64: btoa("bytes") })).toEqual([201, { offset: 4 }]);
    expect(await say({ text: "for lee", to: 2 })).toEqual([201, { offset: 5 }]);
    expect(await say({ text: "" })).toEqual([201, { offset: 6 }]);
    expect(await lee.heard(4)).toEqual(["안녕", "bytes", "for lee", ""]);
    expect(await kim.heard(3)).toEqual(["안녕", "bytes", ""]);
    expect(kim.all("deliver")[0]).toMatchObject({ from: 0, to: 0, offset: 3 });
  });

  it("post a message for members that join later", async () => {
    const room = newRoom();
    await askAsService("POST", `/v1/rooms/${room}/messages`, { text: "welcome" });
    expect(await (await joinAs(room, "kim")).heard(1)).toEqual(["welcome"]);
  });

  it.each([
    [{}, "text"],
    [{ text: "a", base64: "YQ==" }, "text"],
    [{ text: "x".repeat(MAX_BODY_BYTES + 1) }, "text"],
    [{ base64: "not base64!" }, "base64"],
    [{ base64: btoa("x".repeat(MAX_BODY_BYTES + 1)) }, "base64"],
    [{ text: "a", to: 0 }, "to"],
    [{ text: "a", from: 1 }, "from"],
  ])("get 400 for the message %j", async (message, field) => {
    const answer = await askAsService("POST", "/v1/rooms/lobby/messages", message);
    expect((await problemOf(answer)).detail).toMatch(new RegExp(`^${field}: `));
  });

  it("get the reason why half of a surrogate pair is no text", async () => {
    const answer = await askAsService("POST", "/v1/rooms/lobby/messages", { text: "\ud83d" });
    expect((await problemOf(answer)).detail).toMatch(/^text: .*surrogate/);
  });

  it("may post as much as a packet holds", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const text = "x".repeat(MAX_BODY_BYTES);
    expect((await askAsService("POST", `/v1/rooms/${room}/messages`, { text })).status).toBe(201);
    expect(await kim.heard(1)).toEqual([text]);
  });

  it("remove a member, whose client then does not return", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const kim = await RoomPlayer.join(room, token);
    expect((await askAsService("DELETE", `/v1/rooms/${room}/members/1`)).status).toBe(204);
    expect(await kim.closed()).toBe(ClosedCode.Left);
    expect(await problemOf(await askAsService("DELETE", `/v1/rooms/${room}/members/1`))).toMatchObject({ status: 404 });
    expect((await (await RoomPlayer.join(room, token)).first("joined")).member).toBe(2);
  });

  it("get 404 for an unknown member, 400 for an invalid room name, 401 without an API key", async () => {
    const room = newRoom();
    const message = { text: "a", to: 7 };
    expect(await problemOf(await askAsService("POST", `/v1/rooms/${room}/messages`, message))).toMatchObject({
      code: "not_found",
    });
    // A refused message begins no room.
    expect(await (await askAsService("GET", `/v1/rooms/${room}`)).json()).toMatchObject({ epoch: 0 });
    expect(await problemOf(await askAsService("GET", "/v1/rooms/a%2Fb"))).toMatchObject({ code: "invalid" });
    expect(await problemOf(await askAsService("DELETE", `/v1/rooms/${room}/members/x`))).toMatchObject({ status: 400 });
    expect(await problemOf(await ask(`/v1/rooms/${room}`))).toMatchObject({ status: 401 });
  });
});
