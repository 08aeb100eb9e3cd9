import type { BenchGroup, BenchOptions, CaseTitle } from "../harness/bench-case.ts";
import { measureRates } from "../harness/bench-case.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import { Cleanup } from "../harness/processes.ts";
import { type Ours, startOurs } from "../ours/start-ours.ts";
import { buildOurWorker, buildPeerWorker, startWorker } from "../ours/start-worker.ts";
import { expressCookie, honoCookie } from "../peers/session-secret.ts";
import { startHttpPeer } from "../peers/start-peers.ts";
import type { CaseResult } from "../report/results.ts";
import { connectRedisId, fillConnectRedis, issueTokens } from "./sessions.ts";

/** Few enough that within a second each asks again, as a page does that loads its parts through a proxy. */
const CLIENTS = 100;
const CONNECTIONS = 32;

/** The check that proxies make, against the servers that people would write. */
export const httpChecks: BenchGroup = {
  name: "http",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const { ours, tokens } = await startWithClients(cleanup);
      const express = await startHttpPeer(cleanup, "express-server.ts");
      const hono = await startHttpPeer(cleanup, "hono-node-server.ts");
      for (const { redisUrl } of [express, hono])
        await fillConnectRedis(redisUrl, { sessions: CLIENTS, users: CLIENTS });
      const ids = Array.from({ length: CLIENTS }, (_, index) => connectRedisId(index));
      const peers = [
        { name: "Express", against: "Express + express-session + connect-redis", at: express, cookie: expressCookie },
        { name: "Hono on Node", against: "Hono on Node + connect-redis", at: hono, cookie: honoCookie },
      ];
      const results: CaseResult[] = [];
      for (const { name, against, at, cookie } of peers) {
        const peer = { port: at.port, path: "/check", headers: ids.map(cookie), programs: at.programs };
        for (const [suffix, value, cacheControl] of [
          ["", 1, ""],
          [", max-age=1", 2, "\r\nCache-Control: max-age=1"],
        ] as const) {
          const title = {
            group: "http",
            name: `check over HTTP${suffix}, against ${name}`,
            against,
            unit: "checks/s",
            target: { op: ">=", value },
          } as const;
          results.push(await compare(title, checksOf(ours, tokens, cacheControl), peer, options));
        }
      }
      return results;
    }),
};

/** The cost of a response that needs no store. */
export const floor: BenchGroup = {
  name: "floor",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const { ours, tokens } = await startWithClients(cleanup);
      const built = cleanup.addRemoval(await buildPeerWorker("empty-worker.ts"));
      const empty = await startWorker(built);
      cleanup.add(empty.program);
      const title = {
        group: "floor",
        name: "check from the edge's cache",
        against: "an empty Hono route in workerd",
        unit: "responses/s",
        target: { op: ">=", value: 0.7 },
      } as const;
      const peer = { port: empty.port, path: "/", headers: [""], programs: [empty.program] };
      const fromCache = checksOf(ours, tokens, "\r\nCache-Control: max-age=5");
      return [await compare(title, fromCache, peer, options)];
    }),
};

interface Side {
  readonly port: number;
  readonly path: string;
  readonly headers: readonly string[];
  readonly programs: Ours["programs"];
}

async function compare(title: CaseTitle, ours: Side, peer: Side, options: BenchOptions): Promise<CaseResult> {
  const { programs, ...job } = ours;
  const { programs: peerPrograms, ...peerJob } = peer;
  const a = await LoadDriver.start("http-load.ts", { ...job, connections: CONNECTIONS }, programs);
  const b = await LoadDriver.start("http-load.ts", { ...peerJob, connections: CONNECTIONS }, peerPrograms);
  const result = await measureRates(title, a, b, options);
  await a.stop();
  await b.stop();
  return result;
}

function checksOf(ours: Ours, tokens: readonly string[], cacheControl: string): Side {
  const headers = tokens.map((token) => `Authorization: Bearer ${token}${cacheControl}`);
  return { port: ours.edgePort, path: "/v1/check", headers, programs: ours.programs };
}

async function startWithClients(cleanup: Cleanup): Promise<{ ours: Ours; tokens: readonly string[] }> {
  const worker = cleanup.addRemoval(await buildOurWorker());
  const ours = cleanup.add(await startOurs(worker));
  return { ours, tokens: await issueTokens(ours, CLIENTS) };
}
