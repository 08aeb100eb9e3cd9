import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { PLAYER_PACKET_TYPES, type PlayerPacket, writePlayerPacket } from "../../../protocol/player-packets.ts";
import { createSession } from "../routes/edge-client.ts";
import { joinAs, newRoom } from "./room-object.ts";
import { joinPacket, RoomPlayer } from "./room-player.ts";

const body = new Uint8Array();
const bytesOf = (packet: PlayerPacket) => {
  const writer = new ByteWriter();
  writePlayerPacket(writer, packet);
  return writer.finish();
};
const payload = (type: number, ...bytes: number[]) =>
  new ByteWriter().packet(type, (writer) => writer.bytes(Uint8Array.from(bytes))).finish();

describe("a player who breaks the protocol", () => {
  it.each([
    ["a size under 4", Uint8Array.of(3, 0, 0, 1)],
    ["a size over the cap", Uint8Array.of(1, 64, 2, 1)],
    ["half a packet", bytesOf({ kind: "ack", position: 0 }).subarray(0, 6)],
    ["one byte", Uint8Array.of(12)],
    ["an unknown type", payload(255)],
    ["a service packet", payload(1, 1, 0, 0, 0)],
    ["a Publish that is too short", payload(PLAYER_PACKET_TYPES.publish, 1, 0, 0)],
    ["an Ack that is too long", payload(PLAYER_PACKET_TYPES.ack, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
    ["a seq with a hole", bytesOf({ kind: "publish", seq: 2, to: 0, body })],
    ["a seq of 0", payload(PLAYER_PACKET_TYPES.publish, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
    ["a seq above 2^53", payload(PLAYER_PACKET_TYPES.publish, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0)],
    ["an Ack above the log's end", bytesOf({ kind: "ack", position: 1000 })],
    ["a packet of the room's", bytesOf({ kind: "deliver", offset: 1, from: 0, to: 0, body })],
    ["a second Join", bytesOf(joinPacket("lobby"))],
    ["a text", "hello"],
  ])("with %s gets Closed(ProtocolError), and its seat is held", async (_, message) => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const lee = await joinAs(room, "lee");
    kim.sendRaw(message);
    expect(await kim.closed()).toBe(ClosedCode.ProtocolError);
    await lee.until(() => lee.all("presence").at(-1)?.state === 2);
  });

  it.each([
    ["anything before it", bytesOf({ kind: "ack", position: 0 })],
    ["another version", bytesOf(joinPacket("lobby")).with(4, 2)],
    ["another room", bytesOf(joinPacket("elsewhere"))],
    ["no payload", payload(PLAYER_PACKET_TYPES.join)],
    ["an offset that the log has not reached", undefined],
  ])("at its Join, with %s, too", async (_, message) => {
    const room = newRoom();
    const { token } = await createSession();
    const { epoch } = await (await RoomPlayer.join(room, token)).first("joined");
    const player = await RoomPlayer.dial(room, token);
    player.sendRaw(message ?? bytesOf(joinPacket(room, { epoch, delivered: 1000, attempt: 2 })));
    expect(await player.closed()).toBe(ClosedCode.ProtocolError);
  });

  it("keeps the messages that it sent before the broken packet", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const lee = await joinAs(room, "lee");
    kim.publish(1, "before");
    kim.sendRaw("broken");
    expect(await lee.heard(1)).toEqual(["before"]);
  });
});
