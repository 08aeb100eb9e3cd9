import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseToken } from "../../protocol/session-token.ts";
import { CookieClient } from "../support/peers/cookie-client.ts";
import { join, playerBytes, publish } from "../support/peers/player-peer.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";
import { listedFiles, type WalkName, withoutRedisRest } from "../support/walk-lists.ts";
import { instrumentWorker, WalkRecorder } from "../support/walk-recorder.ts";

/** What a timer runs beside a walk is in few of them. */
const RECORDINGS = 3;
/** What a response has started, such as the renewal of a session, has ended by then. */
const AFTER_RESPONSE_MS = 100;
/** A bridge that keeps nothing: every check takes the whole way, and no lease is renewed beside it. */
const NOTHING_KEPT = { BRIDGE_CACHE_SESSIONS: "0" };
const API_KEY = "walk-key-0123456789-0123456789-01";
const ACCOUNT = { user: "walker", password: "correct horse battery staple" };

let stack: RunningStack;
let recorder: WalkRecorder;

async function open(environment: Readonly<Record<string, string>>): Promise<void> {
  stack = await startStackOn("redis", { API_KEY, ...environment }, instrumentWorker);
  recorder = await WalkRecorder.start(stack.edgeUrl);
}

async function close(): Promise<void> {
  recorder?.stop();
  await stack?.close();
}

beforeAll(() => open(NOTHING_KEPT));
afterAll(close);

/** The files that run in each of several walks. */
async function record(walk: () => Promise<void>): Promise<string[]> {
  let common: string[] | undefined;
  for (let recording = 0; recording < RECORDINGS; recording++) {
    await pause(AFTER_RESPONSE_MS);
    await recorder.take();
    await walk();
    await pause(AFTER_RESPONSE_MS);
    const files = await recorder.take();
    common = common?.filter((file) => files.has(file)) ?? [...files];
  }
  return common?.sort() ?? [];
}

function expectListed(walk: WalkName, files: readonly string[]): void {
  const listed = listedFiles(walk);
  expect(files.length).toBeGreaterThan(0);
  expect(files.filter((file) => !listed.includes(file))).toEqual([]);
}

async function issue(user: string): Promise<{ readonly sessid: number; readonly token: string }> {
  const response = await askAsService(stack, "POST", "/v1/sessions", { user, grants: ["*"] });
  return (await response.json()) as { sessid: number; token: string };
}

/** Checks the session over TCP, on a new connection for each recording, and returns the files. */
async function recordCheck(sessid: number): Promise<string[]> {
  // SessionCheckRequest: size 8, type 1, sessid.
  const request = Buffer.from([8, 0, 1, 0, 0, 0, 0, 0]);
  request.writeInt32LE(sessid, 4);
  const sockets: Socket[] = [];
  const files = await record(async () => {
    const { host, port } = stack.gameAddress;
    const socket = connect(port, host);
    sockets.push(socket);
    socket.write(request);
    const [response] = await once(socket, "data");
    expect(response).toEqual(Buffer.from([5, 0, 2, 0, 0]));
  });
  for (const socket of sockets) socket.destroy();
  return files;
}

test("every file that a SessionCheck over TCP runs stands in the page's list", async () => {
  const { sessid } = await issue("kim");
  expectListed("SessionCheck over TCP", await recordCheck(sessid));
});

test("every file that GET /v1/check with a cookie runs stands in the page's list", async () => {
  const client = new CookieClient(stack.edgeUrl);
  await client.submit("/signup", { ...ACCOUNT, user: "checker" });
  const files = await record(async () => {
    const response = await client.open("/v1/check?resource=lobby", { headers: { "Cache-Control": "no-cache" } });
    expect([200, 403]).toContain(response.status);
    await response.arrayBuffer();
  });
  expectListed("GET /v1/check with a cookie", withoutRedisRest(files));
});

test("every file that a browser's login runs stands in the page's list", async () => {
  await new CookieClient(stack.edgeUrl).submit("/signup", ACCOUNT);
  const files = await record(async () => {
    const client = new CookieClient(stack.edgeUrl);
    await (await client.open("/login")).arrayBuffer();
    const response = await client.submit("/login", ACCOUNT);
    expect(response.status).toBe(303);
  });
  expectListed("browser login", withoutRedisRest(files));
});

test("every file that a player's Publish runs stands in the page's list", async () => {
  const [sender, receiver] = [await joinRoom("ann"), await joinRoom("ben")];
  const packets = Array.from({ length: RECORDINGS }, (_, index) => playerBytes(publish(index + 1, "hello")));
  const files = await record(async () => {
    const received = once(receiver, "data");
    sender.write(packets.shift() ?? new Uint8Array());
    await received;
  });
  sender.destroy();
  receiver.destroy();
  expectListed("a player's Publish", withoutRedisRest(files));
});

test("every file that a SessionCheck from memory runs stands in the page's list", async () => {
  await close();
  // With the longest bound, the bridge renews its lease so seldom that a walk is recorded in between.
  await open({ REVOCATION_BOUND_MS: "60000" });
  const { sessid } = await issue("kim");
  // The bridge learns the session as soon as it holds a lease.
  const files = await until(async () => {
    const recorded = await recordCheck(sessid);
    return recorded.some((file) => file.startsWith("worker/")) ? undefined : recorded;
  });
  expectListed("SessionCheck from memory", files);
});

/** A player's connection that has joined a room and sends nothing by itself. */
async function joinRoom(user: string): Promise<Socket> {
  const { token } = await issue(user);
  const bytes = parseToken(token);
  if (bytes === undefined || bytes === null) throw new Error("the token that was issued cannot be parsed");
  const { host, port } = stack.playerAddress;
  const socket = connectTls({ host, port, rejectUnauthorized: false, minVersion: "TLSv1.3" });
  await once(socket, "secureConnect");
  const joined = once(socket, "data");
  socket.resume().write(playerBytes({ ...join(1), token: bytes }));
  await joined;
  return socket;
}
