import type { BenchGroup, BenchOptions, CaseTitle } from "../harness/bench-case.ts";
import { measureRates } from "../harness/bench-case.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import { Cleanup, freePort, untilAccepts } from "../harness/processes.ts";
import { type Ours, type OursVariables, startOurs } from "../ours/start-ours.ts";
import { buildOurWorker, buildPeerWorker, startWorker } from "../ours/start-worker.ts";
import { installNginxLua, nginxCookie, startNginxLua } from "../peers/nginx-lua.ts";
import { expressCookie, honoCookie } from "../peers/session-secret.ts";
import { type HttpPeer, startHttpPeer } from "../peers/start-peers.ts";
import type { CaseResult } from "../report/results.ts";
import { connectRedisId, fillConnectRedis, issueTokens } from "./sessions.ts";

/** Few enough that within a second each asks again, as a page does that loads its parts through a proxy. */
const CLIENTS = 100;
const CONNECTIONS = 32;

/** The check that proxies make at a bridge beside them, against the servers that people would write. */
export const checkPort: BenchGroup = {
  name: "check-port",
  prepare: installNginxLua,
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const port = await freePort();
      const { ours, tokens } = await startWithClients(cleanup, { bridge: { CHECK_PORT: String(port) } });
      if (!(await untilAccepts(port))) throw new Error("the check port did not open");
      const express = await startHttpPeer(cleanup, "express-server.ts");
      const nginx = await startNginxLua(cleanup);
      const against: readonly PeerCase[] = [
        {
          name: "check at the check port, against Express",
          against: "Express + express-session + connect-redis",
          value: 2.5,
          peer: await peerSide(express, expressCookie),
        },
        {
          name: "check at the check port, against nginx",
          against: "nginx with Lua and lua-nginx-redis, keep-alive pool",
          value: 1,
          peer: await peerSide(nginx, nginxCookie),
        },
      ];
      const results: CaseResult[] = [];
      for (const { name, against: what, value, peer } of against) {
        const title = {
          group: "check-port",
          name,
          against: what,
          unit: "checks/s",
          target: { op: ">=", value },
        } as const;
        results.push(await compare(title, checksOf(ours, port, tokens, ""), peer, options));
      }
      return results;
    }),
};

interface PeerCase {
  readonly name: string;
  readonly against: string;
  readonly value: number;
  readonly peer: Side;
}

/** The check that proxies make at the edge, without the distances that an edge is for (world.ts). */
export const httpChecks: BenchGroup = {
  name: "http",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const { ours, tokens } = await startWithClients(cleanup);
      const peer = await peerSide(await startHttpPeer(cleanup, "hono-node-server.ts"), honoCookie);
      const results: CaseResult[] = [];
      for (const [suffix, value, cacheControl] of [
        ["", 1, ""],
        [", max-age=1", 2, "\r\nCache-Control: max-age=1"],
      ] as const) {
        const title = {
          group: "http",
          name: `check over HTTP${suffix}, against Hono on Node`,
          against: "Hono on Node + connect-redis",
          unit: "checks/s",
          target: { op: ">=", value },
        } as const;
        results.push(await compare(title, checksOf(ours, ours.edgePort, tokens, cacheControl), peer, options));
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
      const fromCache = checksOf(ours, ours.edgePort, tokens, "\r\nCache-Control: max-age=5");
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

function checksOf({ programs }: Ours, port: number, tokens: readonly string[], cacheControl: string): Side {
  const headers = tokens.map((token) => `Authorization: Bearer ${token}${cacheControl}`);
  return { port, path: "/v1/check", headers, programs };
}

/** A peer whose Redis has the sessions of all clients. */
async function peerSide({ port, redisUrl, programs }: HttpPeer, cookie: (id: string) => string): Promise<Side> {
  await fillConnectRedis(redisUrl, { sessions: CLIENTS, users: CLIENTS });
  const headers = Array.from({ length: CLIENTS }, (_, index) => cookie(connectRedisId(index)));
  return { port, path: "/check", headers, programs };
}

async function startWithClients(
  cleanup: Cleanup,
  variables: OursVariables = {},
): Promise<{ ours: Ours; tokens: readonly string[] }> {
  const worker = cleanup.addRemoval(await buildOurWorker());
  const ours = cleanup.add(await startOurs(worker, variables));
  return { ours, tokens: await issueTokens(ours, CLIENTS) };
}
