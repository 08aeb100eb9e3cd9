import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterEach, describe, expect, it } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { requestBytes } from "../support/peers/game-peer.ts";
import { StreamListener } from "../support/peers/stream-listener.ts";
import { launchChromium } from "../support/processes/chromium.ts";
import { Program } from "../support/processes/program.ts";
import { workerdMemory } from "../support/processes/workerd.ts";
import { until } from "../support/until.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const API_KEY = "test-key";
const AS_SERVICE = { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" };
const MIB = 2 ** 20;

/** MAX_LISTENERS (worker/events/event-listeners.ts, which Node cannot load). */
const MAX_LISTENERS = 1000;

/** Listeners that do not read. */
const STUCK = 40;

/** What a test has started, the newest last. */
const ends: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function edgeWith(choice: { readonly port?: number; readonly stateDir?: string } = {}): Promise<Edge> {
  const variables = { API_KEYS: API_KEY, MAX_SESSIONS_PER_USER: "0" };
  const edge = await startEdge({ host: "127.0.0.1", port: 0, variables, ...choice });
  ends.push(() => edge.close());
  return edge;
}

async function createSession({ url }: Pick<Edge, "url">): Promise<number> {
  const response = await fetch(`${url}/v1/sessions`, { method: "POST", headers: AS_SERVICE, body: '{"user":"kim"}' });
  return ((await response.json()) as { sessid: number }).sessid;
}

async function end({ url }: Pick<Edge, "url">, sessid: number): Promise<void> {
  const response = await fetch(`${url}/v1/sessions/${sessid}`, { method: "DELETE", headers: AS_SERVICE });
  expect(response.status).toBe(204);
}

/** A listener on a socket of its own, whose reading the test decides. */
class RawListener {
  readonly socket: Socket;
  text = "";
  #changed = Promise.withResolvers<void>();

  constructor(edge: Edge, query = "") {
    this.socket = connect(Number(new URL(edge.url).port), "127.0.0.1");
    ends.push(() => this.socket.destroy());
    this.socket
      .on("error", () => undefined)
      .on("data", (chunk) => {
        this.text += chunk.toString("latin1");
        this.#changed.resolve();
      });
    const lines = [`GET /v1/events${query} HTTP/1.1`, "Host: 127.0.0.1", `Authorization: Bearer ${API_KEY}`];
    this.socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  }

  async receives(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      this.#changed = Promise.withResolvers();
      await this.#changed.promise;
    }
  }
}

/** Listens, and reads nothing; returns the response's status. */
async function occupy({ url }: Edge): Promise<number> {
  const response = await fetch(`${url}/v1/events?kinds=changed`, { headers: AS_SERVICE });
  ends.push(() => response.body?.cancel());
  return response.status;
}

/** The value below which this share of the values is. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
}

describe("a browser's EventSource", () => {
  it("gets the events, and after a restart of the server those that it has missed, once and in order", async () => {
    const stateDir = await mkdtemp(join(tmpdir(), "artoria-events-"));
    ends.push(() => rm(stateDir, { recursive: true }));
    const port = await freePort("127.0.0.1");
    const first = await edgeWith({ port, stateDir });
    const chromium: Browser = await launchChromium();
    ends.push(() => chromium.close());
    // An EventSource cannot send Authorization; a back end in front of the edge would add it.
    const context = await chromium.newContext({
      bypassCSP: true,
      extraHTTPHeaders: { Authorization: `Bearer ${API_KEY}` },
    });
    const page = await context.newPage();
    await page.goto(`${first.url}/healthz`);
    await page.evaluate(() => {
      const received: [string, string, string][] = [];
      const source = new EventSource("/v1/events?kinds=ended,began");
      for (const kind of ["began", "ended", "reset"]) {
        source.addEventListener(kind, (event) => {
          const { type, lastEventId, data } = event as MessageEvent;
          received.push([type, lastEventId, data]);
        });
      }
      Object.assign(globalThis, { received, source });
    });
    const received = () =>
      page.evaluate(() => (globalThis as unknown as { received: [string, string, string][] }).received);
    const state = () => page.evaluate(() => (globalThis as unknown as { source: EventSource }).source.readyState);
    await until(async () => (await state()) === 1);
    const sessids = [await createSession(first), await createSession(first)];
    await end(first, sessids[0] ?? 0);
    await until(async () => (await received()).length === 3);

    await first.close();
    await until(async () => (await state()) === 0);
    const second = await edgeWith({ port, stateDir });
    await end(second, sessids[1] ?? 0);
    sessids.push(await createSession(second));
    await until(async () => (await received()).length >= 5);
    const events = (await received()).map(([type, id, data]) => ({ type, id, ...JSON.parse(data) }));
    expect(events.map(({ type, sessid }) => [type, sessid])).toEqual([
      ["began", sessids[0]],
      ["began", sessids[1]],
      ["ended", sessids[0]],
      ["ended", sessids[1]],
      ["began", sessids[2]],
    ]);
    for (const { id, position, type, kind } of events) expect([id, type]).toEqual([position, kind]);
  });
});

describe("curl", () => {
  it("shows the events as they come", async () => {
    const edge = await edgeWith();
    const args = ["-sN", "-H", `Authorization: Bearer ${API_KEY}`, `${edge.url}/v1/events?kinds=ended`];
    const curl = new Program("curl", args);
    ends.push(() => curl.kill());
    await curl.prints(/^retry: \d+\n: checkpoint\nid: \S+\n\n/);
    const sessid = await createSession(edge);
    await end(edge, sessid);
    const [, id, data = ""] = await curl.prints(/event: ended\nid: (\S+)\ndata: (.*)\n\n/);
    expect(JSON.parse(data)).toMatchObject({ position: id, kind: "ended", reason: "deleted", sessid, user: "kim" });
  });
});

describe(`${MAX_LISTENERS} listeners`, () => {
  it("all get an end; more are refused until some have gone, also without a word", async () => {
    const edge = await edgeWith();
    const before = await workerdMemory(edge);
    const listeners = Array.from({ length: MAX_LISTENERS }, () => new RawListener(edge, "?kinds=ended"));
    await Promise.all(listeners.map((listener) => listener.receives(": checkpoint")));
    const perListener = ((await workerdMemory(edge)) - before) / MAX_LISTENERS;
    const refused = await fetch(`${edge.url}/v1/events`, { headers: AS_SERVICE });
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([429, "too_many"]);

    const sessid = await createSession(edge);
    await end(edge, sessid);
    await Promise.all(listeners.map((listener) => listener.receives(`"sessid":${sessid},`)));
    // An idle stream of workerd's own takes 174 KiB.
    expect(perListener).toBeLessThan(256 * 1024);

    for (const { socket } of listeners) socket.destroy();
    // The hub finds that they have gone when it writes to them.
    await until(async () => (await occupy(edge)) === 200, 60_000);
  });
});

describe("listeners that do not read", () => {
  it("cost a bounded amount and are let go, while another gets every event", async () => {
    const edge = await edgeWith();
    const stuck = Array.from({ length: STUCK }, () => new RawListener(edge));
    await Promise.all(stuck.map((listener) => listener.receives(": checkpoint")));
    const ended = stuck.map(({ socket }) => once(socket, "close"));
    for (const { socket } of stuck) socket.pause();
    const reader = await StreamListener.open(() => edge.url, API_KEY);
    ends.push(() => reader.close());
    const before = await workerdMemory(edge);

    // More than the kernel takes for a connection: 50,000 events of 300 bytes.
    const user = "u".repeat(128);
    for (let batch = 0; batch < 50; batch++) {
      const sessids = Array.from({ length: 1000 }, (_, index) => 1 + 1000 * batch + index);
      const body = requestBytes(...sessids.map((sessid) => ({ kind: "register", sessid, user, ip: null }) as const));
      const headers = { ...AS_SERVICE, "Content-Type": "application/octet-stream" };
      expect((await fetch(`${edge.url}/v1/packets`, { method: "POST", headers, body })).status).toBe(200);
    }
    await until(() => reader.events.length === 50_000, 120_000);
    const heldBytes = (await workerdMemory(edge)) - before;
    expect(reader.events.map(({ sessid }) => sessid)).toEqual(Array.from({ length: 50_000 }, (_, index) => index + 1));
    expect(reader.resets).toEqual([]);
    // The store takes 130 MiB of it. Without a bound, each of the others would take the 12 MB that the kernel does not.
    expect(heldBytes).toBeLessThan(350 * MIB);

    // Their places are free again: all places but the reader's can be taken.
    let taken = 0;
    await until(async () => {
      while (taken < MAX_LISTENERS - 1 && (await occupy(edge)) === 200) taken += 1;
      return taken === MAX_LISTENERS - 1;
    }, 120_000);
    expect(await occupy(edge)).toBe(429);
    // What they find when they read again is the end of the stream, behind what the kernel had.
    for (const { socket } of stuck) socket.resume();
    await Promise.all(ended);
    for (const { text } of stuck) expect(text.split("event: began").length - 1).toBeLessThan(50_000);
  });
});

describe("an end", () => {
  it("reaches a listener soon after the delete is answered", async () => {
    const edge = await edgeWith();
    const listener = new RawListener(edge, "?kinds=ended");
    await listener.receives(": checkpoint");
    const delaysMs: number[] = [];
    for (let count = 0; count < 200; count++) {
      const sessid = await createSession(edge);
      await end(edge, sessid);
      const answeredMs = performance.now();
      await listener.receives(`"sessid":${sessid},`);
      delaysMs.push(performance.now() - answeredMs);
    }
    // It was told, and not found by a poll: polls are 500 ms apart.
    expect(quantile(delaysMs, 0.5)).toBeLessThan(100);
  });
});
