import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { WebhookStatus } from "../../worker/webhooks/webhook-outbox.ts";
import { Program } from "../support/processes/program.ts";
import { askAsService } from "../support/processes/running-stack.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";
import { TestReceiver, webhookSecret } from "../support/webhooks/test-receiver.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const API_KEY = "test-key";
const SECRET = webhookSecret(1);

/** The sender's own rules (worker/webhooks/webhook-outbox.ts, worker/webhooks/webhook-poster.ts), and time for a busy machine. */
const RECEIVER_DEADLINE_MS = 15_000;
const LONGEST_PROBE_MS = 60_000;
const PATIENCE_MS = 60_000;

/** What a test has started, to be closed in the opposite order. */
const started: { close(): Promise<unknown> }[] = [];
let stateDir: string;
let receiver: TestReceiver;

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "artoria-webhooks-"));
  receiver = closedLater(await TestReceiver.open(SECRET));
});

afterEach(async () => {
  while (started.length > 0) await started.pop()?.close();
  await rm(stateDir, { recursive: true, force: true });
});

function closedLater<T extends { close(): Promise<unknown> }>(part: T): T {
  started.push(part);
  return part;
}

async function closeNow(part: { close(): Promise<unknown> }): Promise<void> {
  started.splice(started.indexOf(part), 1);
  await part.close();
}

/** An edge that sends to the receiver, whose store is kept. */
async function startTestEdge(variables: Readonly<Record<string, string | undefined>> = {}): Promise<Edge> {
  const all = { API_KEYS: API_KEY, WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: SECRET, ...variables };
  const set = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return closedLater(await startEdge({ host: "127.0.0.1", port: 0, stateDir, variables: Object.fromEntries(set) }));
}

/** An edge whose sender has begun. */
async function startSendingEdge(variables?: Readonly<Record<string, string>>): Promise<Edge> {
  const edge = await startTestEdge(variables);
  await ask(edge, "GET", "/v1/count");
  await (await senderOf(edge)).poke();
  return edge;
}

interface Sender {
  poke(): Promise<void>;
  status(): Promise<WebhookStatus>;
}

async function senderOf({ miniflare }: Edge): Promise<Sender> {
  const webhooks = await miniflare.getDurableObjectNamespace("WEBHOOKS");
  return webhooks.get(webhooks.idFromName("webhooks")) as unknown as Sender;
}

function ask({ url }: Pick<Edge, "url">, method: string, path: string, body?: unknown): Promise<Response> {
  return askAsService({ edgeUrl: url, apiKey: API_KEY }, method, path, body);
}

/** Registers the session and ends it, so many times. */
async function endAgainAndAgain(edge: Pick<Edge, "url">, sessid: number, rounds: number): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    const registered = await askUntilDone(edge, "POST", "/v1/sessions", { user: `${sessid}, round ${round}`, sessid });
    expect(registered.ok).toBe(true);
    // 404 if it was asked twice.
    expect([204, 404]).toContain((await askUntilDone(edge, "DELETE", `/v1/sessions/${sessid}`)).status);
  }
}

/** Repeats what the store of a busy machine did not do in time. */
async function askUntilDone(...request: Parameters<typeof ask>): Promise<Response> {
  for (;;) {
    const response = await ask(...request);
    if (response.status !== 503) return response;
  }
}

/** The rounds of a session whose messages came, each message at its first time. */
function roundsOf(sessid: number): (string | undefined)[] {
  const mine = receiver.messages.filter(({ data }) => data.sessid === sessid);
  return [...new Map(mine.map(({ id, data }) => [id, data.user?.split(", ")[1]])).values()];
}

describe("a receiver that is down while 1,000 sessions end", () => {
  test.each(["embedded", "redis"])("gets all of them, each session's in order (%s)", async (store) => {
    const variables: Record<string, string> = {};
    if (store === "redis") {
      const redis = await startRedisServer();
      closedLater({ close: () => redis.stop() });
      const rest = closedLater(await startTestRedisRest({ REDIS_URL: redis.url }));
      Object.assign(variables, {
        SESSION_STORE: "redis",
        UPSTASH_REDIS_REST_URL: rest.url,
        UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN,
      });
    }
    const edge = await startSendingEdge(variables);
    const { port } = receiver;
    await closeNow(receiver);
    const [sessions, rounds] = [100, 10];
    const sessids = Array.from({ length: sessions }, (_, index) => index + 1);
    const clients = Array.from({ length: 10 }, async (_, client) => {
      for (const sessid of sessids.filter((number) => number % 10 === client))
        await endAgainAndAgain(edge, sessid, rounds);
    });
    await Promise.all(clients);
    const sender = await senderOf(edge);
    await until(async () => (await sender.status()).held === 100);
    expect(await sender.status()).toMatchObject({ state: "on", behind: true, lastError: "unreachable" });
    receiver = closedLater(await TestReceiver.open(SECRET, port));
    await until(() => receiver.sessids.length === sessions * rounds, LONGEST_PROBE_MS + PATIENCE_MS);
    const all = Array.from({ length: rounds }, (_, index) => `round ${index + 1}`);
    for (const sessid of sessids) expect([sessid, roundsOf(sessid)]).toEqual([sessid, all]);
    await until(async () => {
      const { held, behind } = await sender.status();
      return held === 0 && !behind;
    });
    expect(await sender.status()).toMatchObject({ state: "on", lastError: null });
    expect(receiver.faults).toEqual([]);
  });
});

describe("a receiver that does not respond", () => {
  test("holds up one message for 15 s, and gets it again; the others go on", async () => {
    const edge = await startSendingEdge();
    let hungAt = 0;
    let closedAt = 0;
    receiver.respond = (response, { data }) => {
      if (data.sessid !== 1 || hungAt > 0) return response.writeHead(204).end();
      hungAt = performance.now();
      return response.once("close", () => (closedAt = performance.now()));
    };
    await endAgainAndAgain(edge, 1, 2);
    await endAgainAndAgain(edge, 2, 3);
    await receiver.until(() => roundsOf(2).length === 3);
    expect(roundsOf(1)).toEqual(["round 1"]);
    await until(() => closedAt > 0, PATIENCE_MS);
    expect(closedAt - hungAt).toBeGreaterThan(RECEIVER_DEADLINE_MS - 500);
    await endAgainAndAgain(edge, 3, 1);
    await until(() => roundsOf(1).length === 2, PATIENCE_MS);
    expect(receiver.messages.filter(({ data }) => data.sessid === 1).map(({ data }) => data.user)).toEqual([
      "1, round 1",
      "1, round 1",
      "1, round 2",
    ]);
  });
});

describe("a receiver that answers 410", () => {
  test("gets nothing more, and what it missed once the secret has changed", async () => {
    const edge = await startSendingEdge();
    receiver.respond = (response) => response.writeHead(410).end();
    await endAgainAndAgain(edge, 1, 1);
    const sender = await senderOf(edge);
    await until(async () => (await sender.status()).state === "disabled");
    await endAgainAndAgain(edge, 2, 3);
    await closeNow(edge);
    const same = await startSendingEdge();
    expect(await (await senderOf(same)).status()).toMatchObject({ state: "disabled" });
    expect(receiver.messages.length).toBe(1);
    await closeNow(same);
    receiver.respond = (response) => response.writeHead(204).end();
    const renewed = await startSendingEdge({ WEBHOOK_SECRET: `${webhookSecret(2)} ${SECRET}` });
    await receiver.until(() => receiver.sessids.length === 4);
    expect([...roundsOf(1), ...roundsOf(2)]).toEqual(["round 1", "round 1", "round 2", "round 3"]);
    expect(await (await senderOf(renewed)).status()).toMatchObject({ state: "on" });
  });
});

describe("the sender", () => {
  test("goes on after a restart without a request, and loses nothing", async () => {
    const edge = await startSendingEdge();
    // Some are delivered, and the next are under way until the restart.
    receiver.respond = (response) => receiver.messages.length <= 20 && response.writeHead(204).end();
    const sessids = Array.from({ length: 200 }, (_, index) => index + 1);
    await Promise.all(sessids.map((sessid) => endAgainAndAgain(edge, sessid, 1)));
    await receiver.until(() => receiver.messages.length > 20);
    await closeNow(edge);
    expect(receiver.sessids.length).toBeLessThan(sessids.length);
    receiver.respond = (response) => response.writeHead(204).end();
    // Nobody asks this edge for anything: the alarm is all that starts the sender.
    await startTestEdge();
    await until(() => receiver.sessids.length === sessids.length, PATIENCE_MS);
    expect(receiver.sessids.toSorted((a, b) => a - b)).toEqual(sessids);
  });

  test("forgets everything without WEBHOOK_URL, and begins anew with it", async () => {
    const edge = await startSendingEdge();
    receiver.respond = (response) => response.writeHead(500).end();
    await endAgainAndAgain(edge, 1, 1);
    const sender = await senderOf(edge);
    await until(async () => (await sender.status()).held === 1);
    await closeNow(edge);
    const without = await startTestEdge({ WEBHOOK_URL: undefined });
    // Its alarm, or a poke: it stops.
    await (await senderOf(without)).poke();
    await endAgainAndAgain(without, 2, 1);
    expect(await (await senderOf(without)).status()).toMatchObject({ state: "off", held: 0 });
    await closeNow(without);
    receiver.messages.length = 0;
    receiver.respond = (response) => response.writeHead(204).end();
    const again = await startSendingEdge();
    await endAgainAndAgain(again, 3, 1);
    await receiver.until(() => receiver.messages.length > 0);
    expect(receiver.sessids).toEqual([3]);
  });

  test("tells the receiver that the log was trimmed", async () => {
    const edge = await startSendingEdge({ SESSION_LOG_ENTRIES: "10" });
    receiver.respond = (response) => response.writeHead(500).end();
    const sender = await senderOf(edge);
    // Each end waits until the one before is held: a log of ten entries is soon ahead of a sender that must keep up with it.
    for (let sessid = 1; sessid <= 100; sessid++) {
      await endAgainAndAgain(edge, sessid, 1);
      await until(async () => (await sender.status()).held === sessid);
    }
    // These are trimmed unread.
    for (let sessid = 101; sessid <= 120; sessid++) await endAgainAndAgain(edge, sessid, 1);
    receiver.messages.length = 0;
    receiver.respond = (response) => response.writeHead(204).end();
    await until(
      () => receiver.messages.some(({ type }) => type === "session.events_lost"),
      LONGEST_PROBE_MS + PATIENCE_MS,
    );
    await until(async () => !(await sender.status()).behind);
    await endAgainAndAgain(edge, 1000, 1);
    await receiver.until(() => receiver.sessids.includes(1000));
    const gap = receiver.messages.findIndex(({ type }) => type === "session.events_lost");
    expect(receiver.messages[gap]?.data).toEqual({ position: receiver.messages[gap]?.id });
    expect(new Set(receiver.sessids.filter((sessid) => sessid <= 100)).size).toBe(100);
  });
});

describe("npm start", () => {
  test("sends to WEBHOOK_URL, and neither logs whose session ended nor the secret", async () => {
    const stack = Program.node("dev/start.js", [], {
      EDGE_PORT: "0",
      BRIDGE_PORT: "0",
      PLAYER_PORT: "0",
      METRICS_PORT: "0",
      CHECK_PORT: "0",
      API_KEY,
      WEBHOOK_URL: receiver.url,
      WEBHOOK_SECRET: SECRET,
    });
    closedLater({
      close: () => {
        stack.signal("SIGTERM");
        return stack.ended();
      },
    });
    const [, url = ""] = await stack.prints(/edge \(HTTP\) +(http:\S+)/);
    const edge = { url };
    await ask(edge, "GET", "/v1/count");
    let answers = 0;
    receiver.respond = (response) => response.writeHead([500, 302, 429][answers++] ?? 410).end();
    const user = "user-whom-no-log-may-name";
    const sessids = [1_234_567_891, 1_234_567_892, 1_234_567_893, 1_234_567_894];
    await until(async () => {
      for (const sessid of sessids) {
        await ask(edge, "POST", "/v1/sessions", { user, sessid });
        await ask(edge, "DELETE", `/v1/sessions/${sessid}`);
      }
      return stack.output.includes("the receiver of webhooks has answered 410");
    }, PATIENCE_MS);
    expect(stack.output).toMatch(/the receiver of webhooks fails: \d{3}/);
    expect(stack.output).not.toContain(user);
    expect(stack.output).not.toContain("12345678");
    expect(stack.output).not.toContain(SECRET.slice("whsec_".length));
    expect(stack.output).not.toContain(receiver.url);
    expect(stack.output).not.toMatch(/\d+_\d+_[0-9a-z]+/);
  });
});
