import { Redis } from "ioredis";

/** What is put into Redis: so many sessions of so many users, 10 digits of a sessid as a real one has. */
export interface Population {
  readonly sessions: number;
  readonly users: number;
}

/** Both stores hold the same fields: a user, an address, a time of creation and an idle time. */
export const FIRST_SESSID = 1_000_000_000;

const PART = 2_000;
const IDLE_MS = 1_800_000;

/** Fills our layout (worker/session-store/redis-keys.ts) as its register script does, without the way through the edge. */
export async function fillOurs(url: string, { sessions, users }: Population, from = 0): Promise<void> {
  const redis = new Redis(url);
  const now = Date.now();
  // An hour: nothing may expire while it is measured.
  const expires = now + 3_600_000;
  for (let first = from; first < sessions; first += PART) {
    const pipeline = redis.pipeline();
    for (let index = first; index < Math.min(first + PART, sessions); index++) {
      const sessid = FIRST_SESSID + index;
      const user = userOf(index, users);
      const record = `{"e":${expires},"t":${now},"c":${now},"i":${IDLE_MS},"u":"${user}","p":"10.1.2.3"}`;
      pipeline.set(`s:${sessid}`, record, "PXAT", expires);
      pipeline.zadd("x", expires, sessid);
      pipeline.zadd(`u:${user}`, expires, sessid);
      pipeline.pexpireat(`u:${user}`, expires);
      pipeline.zadd("U", expires, user);
    }
    await pipeline.exec();
  }
  redis.disconnect();
}

/** Fills what connect-redis keeps for the same sessions. */
export async function fillConnectRedis(url: string, { sessions, users }: Population): Promise<void> {
  const redis = new Redis(url);
  const cookie = { originalMaxAge: null, expires: null, httpOnly: true, path: "/" };
  for (let first = 0; first < sessions; first += PART) {
    const pipeline = redis.pipeline();
    for (let index = first; index < Math.min(first + PART, sessions); index++) {
      const data = { cookie, user: userOf(index, users), ip: "10.1.2.3", created: Date.now() };
      // express-session's ids: 24 random bytes in base64url (uid-safe).
      const id = String(FIRST_SESSID + index).padEnd(32, "x");
      pipeline.set(`sess:${id}`, JSON.stringify(data), "EX", 3_600);
    }
    await pipeline.exec();
  }
  redis.disconnect();
}

/** Every user has a session, and the first of them have two. */
function userOf(index: number, users: number): string {
  return `user-${index % users}`;
}
