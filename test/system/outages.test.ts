import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServiceRequest } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { startBridge } from "../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { GamePeer } from "../support/peers/game-peer.ts";
import { type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";
import { startEdge } from "../support/workerd/miniflare-edge.ts";

/** The bridge's deadline is 2 s; a busy machine may add to it. */
const RESPONDED_WITHIN_MS = 10_000;

/** Sessids from here on have no session. */
const NEVER_REGISTERED = 1_000_000;

const register = (sessid: number): ServiceRequest => ({ kind: "register", sessid, user: "kim", ip: null });
const check = (sessid: number): ServiceRequest => ({ kind: "check", sessid });

/** Sends one request after the other, and keeps each response's status and how long it took. */
class Asker {
  readonly verdicts: { readonly sessid: number; readonly status: number; readonly tookMs: number }[] = [];
  #asking = true;
  readonly #done: Promise<void>;

  constructor(peer: GamePeer, request: (sessid: number) => ServiceRequest) {
    this.#done = this.#ask(peer, request);
  }

  async stop(): Promise<void> {
    this.#asking = false;
    await this.#done;
  }

  get last(): number | undefined {
    return this.verdicts.at(-1)?.status;
  }

  async #ask(peer: GamePeer, request: (sessid: number) => ServiceRequest): Promise<void> {
    for (let sessid = 1; this.#asking; sessid++) {
      const before = peer.responses.length;
      const startedAt = performance.now();
      peer.send(request(sessid));
      const status = (await peer.received(before + 1)).at(-1)?.status;
      if (status === undefined) throw new Error("the connection ended");
      this.verdicts.push({ sessid, status, tookMs: performance.now() - startedAt });
      await delay(2);
    }
  }
}

const slowest = (asker: Asker) => Math.max(...asker.verdicts.map(({ tookMs }) => tookMs));

describe("an outage of Redis while requests flow", () => {
  let stack: RunningStack;
  let successor: RedisServer | undefined;
  let peer: GamePeer;
  beforeAll(async () => {
    stack = await startStackOn("redis");
    const { host, port } = stack.gameAddress;
    peer = await GamePeer.connect({ address: host, port, family: "IPv4" });
  });
  afterAll(async () => {
    stack.redis?.signal("SIGCONT");
    peer.close();
    await stack.close();
    await successor?.stop();
  });

  test("by a stop makes requests Unavailable in time, and loses nothing that was acknowledged", async () => {
    const asker = new Asker(peer, register);
    await until(() => asker.verdicts.length > 20);
    stack.redis?.signal("SIGSTOP");
    await until(() => asker.last === Status.Unavailable);
    expect((await fetch(`${stack.edgeUrl}/readyz`)).status).toBe(503);
    stack.redis?.signal("SIGCONT");
    await until(() => asker.last === Status.Ok);
    await asker.stop();
    expect(slowest(asker)).toBeLessThan(RESPONDED_WITHIN_MS);
    expect(new Set(asker.verdicts.map(({ status }) => status))).toEqual(new Set([Status.Ok, Status.Unavailable]));

    const acknowledged = asker.verdicts.filter(({ status }) => status === Status.Ok);
    const before = peer.responses.length;
    peer.send(...acknowledged.map(({ sessid }) => check(sessid)));
    const responses = (await peer.received(before + acknowledged.length)).slice(before);
    expect(responses.every(({ status }) => status === Status.Ok)).toBe(true);
  });

  test("by a kill makes checks Unavailable, never wrong, until another Redis takes its place", async () => {
    const asker = new Asker(peer, (sessid) => check(NEVER_REGISTERED + sessid));
    await until(() => asker.verdicts.length > 20);
    stack.redis?.signal("SIGKILL");
    await until(() => asker.last === Status.Unavailable);
    successor = await startRedisServer({ port: stack.redis?.port ?? 0 });
    await until(() => asker.last === Status.NotFound);
    await asker.stop();
    expect(slowest(asker)).toBeLessThan(RESPONDED_WITHIN_MS);
    expect(new Set(asker.verdicts.map(({ status }) => status))).toEqual(new Set([Status.NotFound, Status.Unavailable]));
  });
});

describe("a restart of the worker while requests flow", () => {
  test("makes requests Unavailable at most, on the same connection", async () => {
    const variables = { API_KEYS: "key" };
    let edge = await startEdge({ host: "127.0.0.1", port: 0, variables });
    const port = Number(new URL(edge.url).port);
    const bridge = await startBridge(
      parseBridgeConfig({
        EDGE_URL: edge.url,
        API_KEY: "key",
        BRIDGE_PORT: "0",
        METRICS_PORT: "0",
        LOG_LEVEL: "silent",
      }),
    );
    const peer = await GamePeer.connect(bridge.gameAddress);
    try {
      const asker = new Asker(peer, register);
      await until(() => asker.last === Status.Ok);
      await edge.close();
      await until(() => asker.last === Status.Unavailable);
      edge = await startEdge({ host: "127.0.0.1", port, variables });
      await until(() => asker.last === Status.Ok);
      await asker.stop();
      expect(slowest(asker)).toBeLessThan(RESPONDED_WITHIN_MS);
    } finally {
      peer.close();
      await bridge.close();
      await edge.close();
    }
  });
});
