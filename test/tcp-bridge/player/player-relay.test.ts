import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { formatToken } from "../../../protocol/session-token.ts";
import { PlayerBridge } from "../../support/peers/player-bridge.ts";
import { join, playerBytes, publish } from "../../support/peers/player-peer.ts";
import { ScriptedEdge } from "../../support/peers/scripted-edge.ts";
import { until } from "../../support/until.ts";

let edge: ScriptedEdge;
let bridge: PlayerBridge;
beforeEach(async () => {
  edge = await ScriptedEdge.open();
  bridge = await PlayerBridge.open(`${edge.url}/base/`);
});
afterEach(async () => {
  await bridge.close();
  await edge.close();
});

describe("the player port between a player and its room", () => {
  it("connects to the room of the Join with the token of the Join, and relays the Join", async () => {
    const player = await bridge.connect();
    const sent = join(7, { room: "r.1-A_z", epoch: 5, delivered: 6, attempt: 8 });
    player.send(sent);
    const room = await edge.socket();
    expect(room.url).toBe("/base/v1/rooms/r.1-A_z/socket");
    expect(room.authorization).toBe(`Bearer ${formatToken(sent.token)}`);
    await until(() => room.packets.length === 1);
    expect(room.packets).toEqual([sent]);
  });

  it("relays packets both ways in order, wherever the stream is split", async () => {
    const player = await bridge.connect();
    const sent = [join(7), ...Array.from({ length: 20 }, (_, at) => publish(at + 1, "x".repeat(at * 40)))];
    for (const byte of playerBytes(...sent)) player.socket.write(Uint8Array.of(byte));
    const room = await edge.socket();
    await until(() => room.packets.length === sent.length);
    expect(room.packets).toEqual(sent);
    room.letIn();
    room.send({ kind: "ack", position: 1 }, { kind: "ack", position: 2 });
    room.send({ kind: "datagram", member: 3, body: Buffer.alloc(16_000, 1) });
    await player.received("datagram");
    expect(player.packets.map(({ kind }) => kind)).toEqual(["joined", "ack", "ack", "datagram"]);
    expect(player.packets.at(-1)).toEqual({ kind: "datagram", member: 3, body: new Uint8Array(16_000).fill(1) });
  });

  it("sends packets that arrived together as one message", async () => {
    const player = await bridge.connect();
    player.send(join(7));
    const room = await edge.socket();
    await until(() => room.messages.length === 1);
    player.send(...Array.from({ length: 100 }, (_, at) => publish(at + 1, "together")));
    await until(() => room.packets.length === 101);
    // TLS may split 2,600 bytes into several records, and TCP into segments, but there is not one message for each packet.
    expect(room.messages.length).toBeLessThan(10);
  });

  it("relays Acks in order, alone and with the packets after them", async () => {
    const player = await bridge.connect();
    player.send(join(7));
    const room = await edge.socket();
    room.letIn();
    await player.received("joined");
    player.send({ kind: "ack", position: 1 });
    await until(() => room.packets.length === 2);
    const together = [{ kind: "ack", position: 2 } as const, publish(1, "a"), { kind: "ack", position: 3 } as const];
    for (const packet of together) player.send(packet);
    await until(() => room.packets.length === 5);
    expect(room.packets.slice(1)).toEqual([{ kind: "ack", position: 1 }, ...together]);
  });

  it("responds to a Ping when the edge does, and relays none to the room", async () => {
    const player = await bridge.connect();
    player.send(join(7), { kind: "ping", nonce: 1 }, publish(1, "a"), { kind: "ping", nonce: 2 });
    const room = await edge.socket();
    await until(() => room.texts.length === 1 && room.packets.length === 2);
    room.letIn();
    await player.received("joined");
    expect(player.packets).toHaveLength(1);
    room.socket.send("pong");
    await until(() => player.packets.length === 3);
    expect(player.packets.slice(1)).toEqual([
      { kind: "pong", nonce: 1 },
      { kind: "pong", nonce: 2 },
    ]);
    expect(room.packets.map(({ kind }) => kind)).toEqual(["join", "publish"]);
    player.send({ kind: "ping", nonce: 3 });
    await until(() => room.texts.length === 2);
    expect(room.texts).toEqual(["ping", "ping"]);
  });

  it("closes the WebSocket to the room after the last packets of a player who is gone", async () => {
    const player = await bridge.connect();
    player.send(join(7));
    const room = await edge.socket();
    room.letIn();
    await player.received("joined");
    player.socket.end(playerBytes(publish(1, "last"), { kind: "leave" }));
    await until(() => room.closeCode !== undefined);
    expect(room.packets.map(({ kind }) => kind)).toEqual(["join", "publish", "leave"]);
    await until(() => player.ended);
    expect(player.packets).toHaveLength(1);

    const other = await bridge.connect();
    other.send(join(8));
    const otherRoom = await edge.socket(1);
    other.close();
    await until(() => otherRoom.closeCode !== undefined);
  });

  it("counts Joins, packets and bytes, and logs no token", async () => {
    const player = await bridge.connect();
    const sent = [join(7), publish(1, "a"), { kind: "ping", nonce: 1 } as const];
    player.send(...sent);
    const room = await edge.socket();
    room.letIn();
    await player.received("joined");
    room.socket.close(4003, "expired");
    await player.received("closed");
    player.socket.end();
    await until(async () => (await bridge.metric("connections")) === 0);
    expect(await bridge.metric('joins_total{outcome="joined"}')).toBe(1);
    expect(await bridge.metric('packets_total{direction="to_room"}')).toBe(2);
    expect(await bridge.metric('bytes_total{direction="to_room"}')).toBe(playerBytes(...sent.slice(0, 2)).byteLength);
    expect(await bridge.metric('packets_total{direction="to_player"}')).toBe(1);
    expect(await bridge.metric('closed_total{code="SessionInvalid",by="bridge"}')).toBe(1);
    expect(await bridge.metric('disconnects_total{code="finished"}')).toBe(1);
    expect(bridge.log.length).toBeGreaterThan(0);
    expect(bridge.log.join()).not.toContain(formatToken(join(7).token));
  });
});
