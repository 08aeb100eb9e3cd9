import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import type { PlayerPacket } from "../../../protocol/player-packets.ts";
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

async function joined(sessid = 7, localAddress?: string): Promise<{ player: PlayerPeer; room: EdgeSocket }> {
  const index = edge.sockets.length;
  const player = await bridge.connect(localAddress);
  player.send(join(sessid));
  const room = await edge.socket(index);
  room.letIn();
  await player.received("joined");
  return { player, room };
}

/** This many packets of 16,000 bytes, 32 MB, are more than all sockets between player and room hold. */
const PACKETS = 2_000;

/** A packet that only fills buffers. */
const BULK: PlayerPacket = { kind: "datagram", member: 0, body: new Uint8Array(16_000) };

/** A value that is the same in this many looks, 20 ms apart, does not change any more. */
const STABLE_LOOKS = 20;

/** A metric's value as soon as it stays the same. */
async function settled(series: string): Promise<number | undefined> {
  const looks: (number | undefined)[] = [];
  await until(async () => {
    looks.push(await bridge.metric(series));
    return looks.length > STABLE_LOOKS && looks.at(-STABLE_LOOKS) === looks.at(-1);
  });
  return looks.at(-1);
}

describe("the player port", () => {
  it("refuses TLS older than 1.3", async () => {
    await open();
    const { address: host, port } = bridge.address;
    const old = connectTls({ host, port, ca: bridge.certificate.cert, maxVersion: "TLSv1.2" });
    await expect(once(old, "secureConnect")).rejects.toThrow();
    expect(await bridge.metric('refusals_total{code="tls_handshake"}')).toBe(1);
  });

  it("refuses a connection beyond the limit of the port or of one address", async () => {
    await open({ PLAYER_MAX_CONNECTIONS: "2", PLAYER_MAX_CONNECTIONS_PER_ADDRESS: "1" });
    await joined(1);
    expect(await (await bridge.connect()).lastPacket()).toBeUndefined();
    await joined(2, "127.0.0.2");
    expect(await (await bridge.connect("127.0.0.3")).lastPacket()).toBeUndefined();
    expect(await bridge.metric('refusals_total{code="connections_per_address"}')).toBe(1);
    expect(await bridge.metric('refusals_total{code="connections"}')).toBe(1);
  });

  it("sends Closed(TooSlow), after which a client reconnects, if the Join or the rest of a packet does not arrive", async () => {
    await open({ PLAYER_JOIN_MS: "300", PLAYER_PACKET_TIMEOUT_MS: "600" });
    const silent = await bridge.connect();
    const { player, room } = await joined();
    player.socket.write(playerBytes(publish(1, "whole"), publish(2, "half")).subarray(0, -1));
    const tooSlow = { kind: "closed", code: ClosedCode.TooSlow };
    expect(await silent.lastPacket()).toMatchObject(tooSlow);
    expect(await player.lastPacket()).toMatchObject(tooSlow);
    await until(() => room.closeCode !== undefined);
    expect(room.packets.slice(1)).toEqual([publish(1, "whole")]);
  });

  it("ends the connection of a player who sends nothing, also while its room sends", async () => {
    await open({ PLAYER_IDLE_MS: "500" });
    const { player, room } = await joined();
    const speaking = setInterval(() => room.send({ kind: "ack", position: 1 }), 50);
    await player.lastPacket();
    clearInterval(speaking);
    expect(await bridge.metric('disconnects_total{code="idle"}')).toBe(1);
    await until(() => room.closeCode !== undefined);
  });

  it("counts a player's Pings anew each second", async () => {
    await open({});
    const { player, room } = await joined();
    const pings = (count: number) => Array.from({ length: count }, (_, nonce) => ({ kind: "ping", nonce }) as const);
    player.send(...pings(900), publish(1, "before"));
    await until(() => room.packets.some(({ kind }) => kind === "publish"));
    const { now } = performance;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now.call(performance) + 1_000);
    try {
      player.send(...pings(900), publish(2, "after"));
      await until(() => room.packets.filter(({ kind }) => kind === "publish").length === 2);
    } finally {
      clock.mockRestore();
    }
  });

  it("ends the connection of a player who sends too many Pings, and no other", async () => {
    await open({});
    const { player } = await joined();
    player.send(...Array.from({ length: 900 }, (_, nonce) => ({ kind: "ping", nonce }) as const));
    const other = await joined(8);
    expect(player.ended).toBe(false);
    player.send(...Array.from({ length: 5_000 }, (_, nonce) => ({ kind: "ping", nonce }) as const));
    const message = "more pings are sent than may be";
    expect(await player.lastPacket()).toEqual({ kind: "closed", code: ClosedCode.TooFast, message });
    expect(other.player.ended).toBe(false);
  });

  it("sends Closed(Unavailable) for a Join of a suspect address that was queued too long", async () => {
    const limits = { PLAYER_MAX_FAILED_JOINS_PER_MINUTE: "1", PLAYER_MAX_ASKED_JOINS_PER_ADDRESS: "1" };
    await open({ ...limits, PLAYER_EDGE_DEADLINE_MS: "600" });
    const broken = await bridge.connect();
    broken.send({ kind: "leave" });
    expect(await broken.lastPacket()).toMatchObject({ code: ClosedCode.ProtocolError });
    // Its room does not respond, so the Join of the next player is queued.
    const asked = await bridge.connect();
    asked.send(join(1));
    await edge.socket();
    const waiting = await bridge.connect();
    waiting.send(join(2));
    await until(async () => (await bridge.metric("joins_waiting")) === 1);
    await asked.lastPacket();
    await until(async () => (await bridge.metric("joins_waiting")) === 0);
    expect(await waiting.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.Unavailable });
    const elsewhere = await bridge.connect("127.0.0.2");
    const index = edge.sockets.length;
    elsewhere.send(join(3));
    expect(await edge.socket(index)).toBeDefined();
  });

  it("sends Closed(TooSlow) to a player who does not read, with bounded memory, and serves others", async () => {
    await open({ PLAYER_WRITE_STALL_TIMEOUT_MS: "1000" });
    const { player: deaf, room } = await joined(1);
    const { player: other, room: otherRoom } = await joined(2);
    deaf.socket.pause();
    let sentBytes = 0;
    const pump = setInterval(() => {
      while (room.closeCode === undefined && room.socket.bufferedAmount < 1024 * 1024) {
        room.send(BULK);
        sentBytes += 16_008;
      }
    }, 5);
    await until(() => room.closeCode !== undefined);
    clearInterval(pump);
    // Only what the sockets and the bridge may buffer, not all that the room could send in the time.
    expect(sentBytes).toBeLessThan(32 * 1024 * 1024);
    expect(await bridge.metric('closed_total{code="TooSlow",by="bridge"}')).toBe(1);
    otherRoom.send({ kind: "ack", position: 1 });
    await other.received("ack");
  });

  it("reads from the room only as fast as the player reads, and loses nothing", async () => {
    await open({ PLAYER_WRITE_STALL_TIMEOUT_MS: "60000" });
    const { player, room } = await joined();
    player.socket.pause();
    for (let position = 1; position <= PACKETS; position++) room.send({ kind: "ack", position }, BULK);
    expect(await settled('packets_total{direction="to_player"}')).toBeLessThan(2 * PACKETS);
    player.socket.resume();
    await until(() => player.packets.length === 1 + 2 * PACKETS);
    const acks = player.packets.filter(({ kind }) => kind === "ack");
    expect(acks).toEqual(Array.from({ length: PACKETS }, (_, at) => ({ kind: "ack", position: at + 1 })));
  });

  it("reads from a player only as fast as the edge takes, and loses nothing", async () => {
    await open({ PLAYER_EDGE_DEADLINE_MS: "60000" });
    const { player, room } = await joined();
    room.socket.pause();
    const sent = Array.from({ length: PACKETS }, (_, at) => publish(at + 1, "x".repeat(16_000)));
    player.send(...sent);
    // The bridge has read a part; the rest waits at the player.
    expect(await settled('packets_total{direction="to_room"}')).toBeLessThan(PACKETS);
    room.socket.resume();
    const pongs = setInterval(() => room.texts.length > 0 && room.socket.send("pong"), 50);
    await until(() => room.packets.length === 1 + sent.length);
    clearInterval(pongs);
    const seqs = room.packets.slice(1).map((packet) => packet.kind === "publish" && packet.seq);
    expect(seqs).toEqual(sent.map((_, at) => at + 1));
  });

  it("sends Closed(Unavailable) to a player whose edge takes nothing for too long", async () => {
    await open({ PLAYER_EDGE_DEADLINE_MS: "500" });
    const { player, room } = await joined();
    room.socket.pause();
    player.send(...Array.from({ length: PACKETS }, (_, at) => publish(at + 1, "x".repeat(16_000))));
    expect(await player.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.Unavailable });
  });
});
