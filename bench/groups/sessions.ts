import { Redis } from "ioredis";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { writeServiceRequest } from "../../protocol/service-packets.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import type { PacketJob } from "../load/packet-load.ts";
import type { Ours } from "../ours/start-ours.ts";

/** How many sessions of how many users a Redis is filled with. */
export interface Population {
  readonly sessions: number;
  readonly users: number;
}

/** A sessid of 10 digits, as most random ones have. */
const FIRST_SESSID = 1_000_000_000;

const PART = 2_000;

/** The default of REDIS_KEY_PREFIX. */
export const KEY_PREFIX = "artoria:";
const IDLE_MS = 1_800_000;

/** Writes what our register script writes (worker/session-store/redis/session-record.ts), without the way through the edge. */
export async function fillOurs(url: string, { sessions, users }: Population, from = 0): Promise<void> {
  const redis = new Redis(url);
  const now = Date.now();
  // An hour: no session expires while it is measured.
  const expires = now + 3_600_000;
  for (let first = from; first < sessions; first += PART) {
    const pipeline = redis.pipeline();
    for (let index = first; index < Math.min(first + PART, sessions); index++) {
      const sessid = FIRST_SESSID + index;
      const user = userOf(index, users);
      const record = `{"e":${expires},"t":${now},"c":${now},"i":${IDLE_MS},"u":"${user}","p":"10.1.2.3"}`;
      pipeline.set(`${KEY_PREFIX}s:${sessid}`, record, "PXAT", expires);
      pipeline.zadd(`${KEY_PREFIX}sessions`, expires, sessid);
      pipeline.zadd(`${KEY_PREFIX}u:${user}`, expires, sessid);
      pipeline.pexpireat(`${KEY_PREFIX}u:${user}`, expires);
      pipeline.zadd(`${KEY_PREFIX}users`, expires, user);
      pipeline.hset(`${KEY_PREFIX}owners`, sessid, `"${user}"`);
    }
    await pipeline.exec();
  }
  redis.disconnect();
}

/** Writes what connect-redis writes for the same sessions, with the same fields. */
export async function fillConnectRedis(url: string, { sessions, users }: Population): Promise<void> {
  const redis = new Redis(url);
  const cookie = { originalMaxAge: null, expires: null, httpOnly: true, path: "/" };
  for (let first = 0; first < sessions; first += PART) {
    const pipeline = redis.pipeline();
    for (let index = first; index < Math.min(first + PART, sessions); index++) {
      const data = { cookie, user: userOf(index, users), ip: "10.1.2.3", created: Date.now() };
      pipeline.set(`sess:${connectRedisId(index)}`, JSON.stringify(data), "EX", 3_600);
    }
    await pipeline.exec();
  }
  redis.disconnect();
}

/** The id of the session of that index, as long as those of express-session: 24 random bytes in base64url (uid-safe). */
export function connectRedisId(index: number): string {
  return String(FIRST_SESSID + index).padEnd(32, "x");
}

/** Every user has a session, and the first of them have two. */
function userOf(index: number, users: number): string {
  return `user-${index % users}`;
}

const AT_ONCE = 20;

/** Issues sessions over HTTP and returns their tokens. */
export async function issueTokens(
  { edgePort, apiKey }: Pick<Ours, "edgePort" | "apiKey">,
  count: number,
): Promise<readonly string[]> {
  const tokens: string[] = [];
  while (tokens.length < count) {
    const part = Array.from({ length: Math.min(AT_ONCE, count - tokens.length) }, (_, index) =>
      issue(edgePort, apiKey, `user-${tokens.length + index}`),
    );
    tokens.push(...(await Promise.all(part)));
  }
  return tokens;
}

/** The first requests of an isolate may find the store too slow; a session that was created in vain does not matter here. */
const ISSUE_TRIES = 5;

async function issue(edgePort: number, apiKey: string, user: string): Promise<string> {
  for (let tries = 1; ; tries++) {
    const response = await fetch(`http://127.0.0.1:${edgePort}/v1/sessions`, {
      method: "POST",
      headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
      body: JSON.stringify({ user }),
    });
    const body = (await response.json()) as { token: string };
    if (response.status === 201) return body.token;
    if (response.status !== 503 || tries === ISSUE_TRIES)
      throw new Error(`a session was refused with ${response.status}`);
  }
}

/** The cases that check existing sessions use the sessids 1..SESSIONS. */
export const SESSIONS = 100_000;

/** Packets in a window; it divides {@link SESSIONS}. */
const PIPELINED = 50;

/** Registers the sessions 1..{@link SESSIONS} over a port that accepts service packets, once each. */
export function seedSessions(port: number): Promise<void> {
  return sendOnce("register", port);
}

/** Checks the sessions 1..{@link SESSIONS} once each, so that a bridge knows them afterwards. */
export function checkSessions(port: number): Promise<void> {
  return sendOnce("check", port);
}

async function sendOnce(kind: PacketJob["kind"], port: number): Promise<void> {
  const job: PacketJob = { kind, port, connections: 16, pipelined: PIPELINED, sessions: SESSIONS };
  const driver = await LoadDriver.start("packet-load.ts", job, []);
  try {
    await driver.runOnce();
  } finally {
    await driver.stop();
  }
}

/** The packet of a check, as the text that an open load sends. */
export function checkPacket(sessid: number): string {
  const writer = new ByteWriter();
  writeServiceRequest(writer, { kind: "check", sessid });
  return Buffer.from(writer.finish()).toString("latin1");
}
