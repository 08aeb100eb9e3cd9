import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, expect, it } from "vitest";
import { tlsTransport } from "../../../client/node/tls-transport.ts";
import { ReliableConnection } from "../../../client/reliable/reliable-connection.ts";
import { formatToken, makeToken } from "../../../protocol/session-token.ts";
import { PlayerBridge } from "../../support/peers/player-bridge.ts";
import { TcpProxy } from "../../support/peers/tcp-proxy.ts";
import { RoomServer } from "../../support/rooms/room-server.ts";
import { until } from "../../support/until.ts";

/** Two ciphertexts of one message share no run of this length: by chance, once in 2^(128 - 24). */
const RUN_BYTES = 16;
const MESSAGE_BYTES = 4000;

let edge: RoomServer;
let bridge: PlayerBridge;
let tap: TcpProxy;
let player: ReliableConnection;

beforeEach(async () => {
  // Long enough for a slow machine.
  edge = await RoomServer.open({ retentionSeconds: 300 });
  bridge = await PlayerBridge.open(`http://127.0.0.1:${edge.httpPort}`);
  tap = await TcpProxy.open(bridge.address.port, { records: true });
});
afterEach(async () => {
  player.disconnect();
  await player.closed;
  await tap.close();
  await bridge.close();
  await edge.close();
});

it("a wire tap sees no plaintext, and sees a repeated message as different bytes", async () => {
  const token = makeToken(7, randomBytes(16));
  const trust = { ca: bridge.certificate.cert };
  player = new ReliableConnection({
    transport: tlsTransport({ host: "127.0.0.1", port: tap.port, token, trust }),
    room: "lobby",
    limits: { backOffCapMs: 200 },
  });
  const heard: Buffer[] = [];
  player.on("message", ({ body }) => heard.push(Buffer.from(body)));
  player.connect();
  await until(() => player.state === "Established");

  const message = randomBytes(MESSAGE_BYTES);
  tap.swallowing = true;
  const sentBytes = () => tap.recordings[0]?.fromClient.byteLength ?? 0;
  const start = sentBytes();
  player.send(message);
  await until(() => sentBytes() >= start + MESSAGE_BYTES);
  tap.swallowing = false;
  tap.cut();
  await until(() => heard.length === 1 && player.state === "Established" && player.unackedMessages === 0);

  expect(heard).toEqual([message]);
  expect(tap.recordings).toHaveLength(2);
  const [before, after] = tap.recordings;
  const first = before?.fromClient.subarray(start) ?? Buffer.alloc(0);
  const second = after?.fromClient ?? Buffer.alloc(0);
  expect(second.byteLength).toBeGreaterThan(MESSAGE_BYTES);
  expect(sharedRun(first, second)).toBeUndefined();
  const secrets = [message, Buffer.from(token), Buffer.from(formatToken(token)), Buffer.from("lobby")];
  for (const recording of [before?.fromClient, before?.toClient, after?.fromClient, after?.toClient]) {
    expect(recording?.byteLength).toBeGreaterThan(0);
    expect(sharedRun(message, recording ?? message)).toBeUndefined();
    for (const secret of secrets) expect(recording?.includes(secret)).toBe(false);
  }
});

/** Where in `one` a run of bytes starts that `other` has too. */
function sharedRun(one: Buffer, other: Buffer): number | undefined {
  const runs = new Set<string>();
  for (let at = 0; at + RUN_BYTES <= other.byteLength; at++) runs.add(other.toString("latin1", at, at + RUN_BYTES));
  for (let at = 0; at + RUN_BYTES <= one.byteLength; at++) {
    if (runs.has(one.toString("latin1", at, at + RUN_BYTES))) return at;
  }
  return undefined;
}
