import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { RedisRest } from "../../redis-rest/server.ts";
import { REDIS_REST_TOKEN, restCall, restPost, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

const MEBIBYTE = 2 ** 20;

let server: RedisServer;
let rest: RedisRest;
const sockets: Socket[] = [];

beforeAll(async () => {
  server = await startRedisServer();
});
afterAll(() => server?.stop());
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await rest?.close();
});

async function start(env: Readonly<Record<string, string>>): Promise<void> {
  rest = await startTestRedisRest({ REDIS_URL: server.url, REDIS_REST_DEADLINE_MS: "10000", ...env });
}

async function dial(from = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ port: rest.port, host: "127.0.0.1", localAddress: from });
  sockets.push(socket);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** All that comes until the server ends the connection. */
async function untilEnd(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  if (!socket.closed) await once(socket, "close");
  return text;
}

const head = (path: string, ...headers: string[]) =>
  [`POST ${path} HTTP/1.1`, "Host: localhost", `Authorization: Bearer ${REDIS_REST_TOKEN}`, ...headers].join("\r\n");

test.each([
  ["says nothing", ""],
  ["never ends its headers", `POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: `],
])("a connection that %s is closed, and the port is free again", async (_, sent) => {
  await start({ REDIS_REST_HEADERS_MS: "300", REDIS_REST_MAX_CONNECTIONS: "5" });
  const silent = await Promise.all(Array.from({ length: 5 }, () => dial()));
  for (const socket of silent) socket.write(sent);
  const ends = silent.map(untilEnd);
  await Promise.all(ends);
  expect((await restPost(rest, "/", ["PING"])).json).toEqual({ result: "PONG" });
});

test("a body that does not come is given up after its time, and executes nothing", async () => {
  await start({ REDIS_REST_BODY_MS: "400" });
  const socket = await dial();
  socket.write(`${head("/", "Content-Length: 100")}\r\n\r\n["SET","slow"`);
  expect(await untilEnd(socket)).toMatch(/^(HTTP\/1\.1 408 .*)?$/s);
  expect((await restPost(rest, "/", ["EXISTS", "slow"])).json).toEqual({ result: 0 });
});

test("a connection beyond those that one address may have is closed; another address is served", async () => {
  await start({ REDIS_REST_MAX_CONNECTIONS_PER_ADDRESS: "3" });
  const held = await Promise.all(Array.from({ length: 3 }, () => dial()));
  await untilEnd(await dial());
  const other = await dial("127.0.0.2");
  other.write(`${head("/", "Connection: close", "Content-Length: 8")}\r\n\r\n["PING"]`);
  expect(await untilEnd(other)).toContain('{"result":"PONG"}');
  held[0]?.destroy();
  await until(async () => (await restPost(rest, "/", ["PING"])).status === 200);
});

/** More than the kernel's buffers take off the program's hands. */
const LARGE_BYTES = 18 * MEBIBYTE;

async function startWithLargeValue(env: Readonly<Record<string, string>>): Promise<void> {
  await start({ REDIS_REST_MAX_RESPONSE_BYTES: String(64 * MEBIBYTE), ...env });
  await restPost(rest, "/", ["DEL", "large"]);
  const part = "x".repeat(LARGE_BYTES / 2);
  for (let at = 0; at < 2; at++) await restCall(rest, "/append/large", { method: "POST", body: part });
}

/** Asks for the large value and reads no more of the answer than its beginning. */
async function askAndStall(): Promise<Socket> {
  const socket = await dial();
  socket.write(`${head("/", "Content-Length: 15")}\r\n\r\n["GET","large"]`);
  await once(socket, "data");
  return socket.pause();
}

test("an answer that is not read is given up: its room is free again, and the rest of it is lost", async () => {
  const env = { REDIS_REST_WRITE_STALL_TIMEOUT_MS: "500", REDIS_REST_MAX_HELD_BYTES: String(20 * MEBIBYTE) };
  await startWithLargeValue(env);
  const stalled = await askAndStall();
  const closed = once(stalled, "close");
  await until(async () => (await restPost(rest, "/", ["GETRANGE", "large", 0, 4 * MEBIBYTE])).status === 200);
  let bytes = 0;
  stalled.on("data", (chunk: Buffer) => (bytes += chunk.length));
  stalled.resume();
  await closed;
  expect(bytes).toBeLessThan(LARGE_BYTES - 65_536);
});

test("answers that nobody reads take no more than their share, and others are told so until there is room", async () => {
  await startWithLargeValue({ REDIS_REST_MAX_HELD_BYTES: String(40 * MEBIBYTE) });
  const stalled = [await askAndStall(), await askAndStall()];
  const refused = await restPost(rest, "/", ["GET", "large"]);
  expect([refused.status, refused.text]).toEqual([503, expect.stringContaining("too much is held for other requests")]);
  expect((await restPost(rest, "/", ["STRLEN", "large"])).json).toEqual({ result: LARGE_BYTES });
  const body = await restCall(rest, "/set/other", { method: "POST", body: "x".repeat(9 * MEBIBYTE) });
  expect([body.status, body.text]).toEqual([503, expect.stringContaining("too much is held")]);
  for (const socket of stalled) socket.destroy();
  await until(async () => (await restPost(rest, "/", ["GET", "large"])).status === 200);
});
