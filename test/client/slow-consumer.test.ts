import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tlsTransport } from "../../client/node/tls-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { makeToken } from "../../protocol/session-token.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { RoomServer } from "../support/rooms/room-server.ts";
import { until } from "../support/until.ts";

const MESSAGES = 800;
/** 800 of them are 6.25 MiB. */
const MESSAGE_BYTES = 8 * 1024;

let server: RoomServer;
let proxy: TcpProxy;
let connection: ReliableConnection;
/** Bytes that the connection has got, taken from it or not. */
let receivedBytes: number;

beforeEach(async () => {
  server = await RoomServer.open({ retentionSeconds: 300, ackTimeoutMs: 500 });
  proxy = await TcpProxy.open(server.tlsPort);
  const { cert: ca } = server.certificate;
  const token = makeToken(1, new Uint8Array(16));
  connection = new ReliableConnection({
    transport: tlsTransport({ host: "127.0.0.1", port: proxy.port, token, trust: { ca } }),
    room: "lobby",
    limits: { backOffCapMs: 50 },
  });
  receivedBytes = 0;
  connection.on("message", ({ body }) => {
    receivedBytes += body.byteLength;
  });
});
afterEach(async () => {
  connection.disconnect();
  await connection.closed;
  await proxy.close();
  await server.close();
});

function announceAll(): void {
  for (let at = 0; at < MESSAGES; at++) server.room.announce(`${at} ${".".repeat(MESSAGE_BYTES)}`);
}

function numberOf(body: Uint8Array): number {
  return Number.parseInt(Buffer.from(body).toString(), 10);
}

describe("a slow consumer", () => {
  it("receives everything once and in order, while memory stays bounded", async () => {
    const messages = connection.messages();
    const interruptions: number[] = [];
    connection.on("interrupted", ({ code }) => interruptions.push(code));
    connection.connect();
    await until(() => connection.state === "Established");
    announceAll();
    // The room waits for it; then it takes it for slow, as it would any that does not ack. It comes back, and is not sent
    // without end.
    await until(() => interruptions.includes(ClosedCode.TooSlow));
    for (let cuts = 0; cuts < 20; cuts++) {
      const { dials } = proxy;
      proxy.cut();
      await until(() => proxy.dials > dials || receivedBytes >= 2_000_000);
    }
    // 2 MiB, and what the room may send beyond it on one connection.
    expect(receivedBytes).toBeLessThan(3 * 1024 * 1024 + 64 * 1024);
    const numbers: number[] = [];
    for await (const { body } of messages) {
      numbers.push(numberOf(body));
      if (numbers.length === MESSAGES) break;
    }
    expect(numbers).toEqual(Array.from({ length: MESSAGES }, (_, at) => at));
    await until(() => connection.state === "Established");
  });

  it("does not hold up the others when it leaves its loop", async () => {
    const messages = connection.messages();
    connection.connect();
    await until(() => connection.state === "Established");
    announceAll();
    await until(() => receivedBytes >= 256 * 1024);
    for await (const _message of messages) break;
    await until(() => receivedBytes >= MESSAGES * MESSAGE_BYTES);
    await until(() => connection.state === "Established");
  });

  it("ends its loop with the connection", async () => {
    const numbers: number[] = [];
    const loop = (async () => {
      for await (const { body } of connection) numbers.push(numberOf(body));
    })();
    connection.connect();
    await until(() => connection.state === "Established");
    server.room.announce("1");
    await until(() => numbers.length === 1);
    connection.disconnect();
    await loop;
    expect(numbers).toEqual([1]);
    for await (const _message of connection) throw new Error("nothing comes after the end");
  });
});
