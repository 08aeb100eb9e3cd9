import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { PacketBytes } from "../../support/packets/packet-bytes.ts";
import { PlayerBridge } from "../../support/peers/player-bridge.ts";
import { join, type PlayerPeer, playerBytes, publish } from "../../support/peers/player-peer.ts";
import { type EdgeSocket, ScriptedEdge } from "../../support/peers/scripted-edge.ts";
import { until } from "../../support/until.ts";

let edge: ScriptedEdge;
let bridge: PlayerBridge;
beforeEach(async () => {
  edge = await ScriptedEdge.open();
});
afterEach(async () => {
  await bridge.close();
  await edge.close();
});

async function open(variables: Readonly<Record<string, string>> = {}): Promise<void> {
  bridge = await PlayerBridge.open(edge.url, variables);
}

/** A player that its room has let in. */
async function joined(): Promise<{ player: PlayerPeer; room: EdgeSocket }> {
  const player = await bridge.connect();
  player.send(join(7));
  const room = await edge.socket();
  room.letIn();
  await player.received("joined");
  return { player, room };
}

describe("a player whose edge fails", () => {
  it.each([404, 500, 503])("gets Closed(Unavailable) if the response to the upgrade is %i", async (status) => {
    edge.upgrade = status;
    await open();
    const player = await bridge.connect();
    player.send(join(7));
    expect(await player.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.Unavailable });
    expect(bridge.log.join()).toContain(`HTTP status ${status}`);
  });

  it("gets Closed(Unavailable) if there is no edge, or no response to the upgrade or the Join in time", async () => {
    await open({ PLAYER_EDGE_DEADLINE_MS: "300" });
    const [withoutJoined, withoutUpgrade, withoutEdge] = await Promise.all([1, 2, 3].map(() => bridge.connect()));
    withoutJoined?.send(join(1));
    await edge.socket();
    edge.upgrade = "hang";
    withoutUpgrade?.send(join(2));
    const unavailable = { kind: "closed", code: ClosedCode.Unavailable };
    expect(await withoutJoined?.lastPacket()).toMatchObject(unavailable);
    expect(await withoutUpgrade?.lastPacket()).toMatchObject(unavailable);
    await edge.close();
    withoutEdge?.send(join(3));
    expect(await withoutEdge?.lastPacket()).toMatchObject(unavailable);
    expect(await bridge.metric('joins_total{outcome="Unavailable"}')).toBe(3);
  });

  it("gets Closed(Unavailable) if there is no pong in time", async () => {
    await open({ PLAYER_EDGE_DEADLINE_MS: "300" });
    const { player, room } = await joined();
    player.send({ kind: "ping", nonce: 1 });
    const message = "the edge does not answer in time";
    expect(await player.lastPacket()).toEqual({ kind: "closed", code: ClosedCode.Unavailable, message });
    await until(() => room.closeCode !== undefined);
  });

  it("gets Closed(Unavailable) if the edge sends something else than packets", async () => {
    await open();
    const { player, room } = await joined();
    room.socket.send(playerBytes({ kind: "ack", position: 1 }).subarray(0, 11));
    const message = "the edge is broken";
    expect(await player.lastPacket()).toEqual({ kind: "closed", code: ClosedCode.Unavailable, message });
  });

  it.each([
    [4003, ClosedCode.SessionInvalid],
    [4006, ClosedCode.TooSlow],
    [4042, 42],
    [1012, ClosedCode.GoingAway],
    [1000, ClosedCode.GoingAway],
  ])("gets Closed with the code of the WebSocket close code %i, or GoingAway", async (closeCode, code) => {
    await open();
    const { player, room } = await joined();
    room.socket.close(closeCode, "because");
    expect(await player.lastPacket()).toEqual({ kind: "closed", code, message: "because" });
  });

  it("gets Closed(GoingAway) if the WebSocket breaks", async () => {
    await open();
    const { player, room } = await joined();
    room.socket.terminate();
    expect(await player.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.GoingAway });
  });

  it("gets the Closed of the room, once", async () => {
    await open();
    const { player, room } = await joined();
    room.send({ kind: "closed", code: ClosedCode.Replaced, message: "newer" });
    room.socket.close(4002, "newer");
    await player.lastPacket();
    expect(player.packets.slice(1)).toEqual([{ kind: "closed", code: ClosedCode.Replaced, message: "newer" }]);
    expect(await bridge.metric('closed_total{code="Replaced",by="room"}')).toBe(1);
  });
});

const TOKEN = new Uint8Array(20);
const joinFields = (version: number, room: string) =>
  new PacketBytes().u8(version).bytes(TOKEN).string(room).u64(0).u64(0).u32(1);

describe("a player who breaks the protocol", () => {
  it.each([
    ["the first packet is no Join", playerBytes({ kind: "ping", nonce: 1 })],
    ["its version is unknown", joinFields(2, "lobby").packet(256)],
    ["its room is no name", joinFields(1, "a/b").packet(256)],
    ["its room is ..", joinFields(1, "..").packet(256)],
    ["it ends early", new PacketBytes().u8(1).bytes(TOKEN).packet(256)],
    ["its type is unknown", new PacketBytes().packet(999)],
    ["its size is under 4", Uint8Array.of(3, 0, 0, 1)],
    ["its size is over the cap", new PacketBytes().packet(256, 16_385)],
    ["it is HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ])("gets Closed(ProtocolError) if %s", async (_, bytes) => {
    await open();
    const player = await bridge.connect();
    player.socket.write(bytes);
    expect(await player.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.ProtocolError });
    expect(player.packets).toHaveLength(1);
    expect(edge.sockets).toEqual([]);
  });

  it.each([
    ["a size under 4", Uint8Array.of(0, 0, 0, 0)],
    ["a size over the cap", new PacketBytes().packet(258, 16_385)],
    ["a Ping that is too long", new PacketBytes().u64(1).packet(262)],
  ])("gets Closed(ProtocolError) after %s, and the packets before it reach the room", async (_, broken) => {
    await open();
    const { player, room } = await joined();
    player.socket.write(Buffer.concat([playerBytes(publish(1, "whole")), broken, playerBytes(publish(2, "lost"))]));
    expect(await player.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.ProtocolError });
    await until(() => room.closeCode !== undefined);
    expect(room.packets.slice(1)).toEqual([publish(1, "whole")]);
  });
});
