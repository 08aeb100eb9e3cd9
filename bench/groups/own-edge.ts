import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildEdge } from "../../dev/build-edge.ts";
import { type BenchGroup, type CaseTitle, measureRates } from "../harness/bench-case.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import { Cleanup, freePort, startNode } from "../harness/processes.ts";
import { installPrevious, startPrevious } from "../peers/previous-start.ts";
import type { CaseResult } from "../report/results.ts";

const EDGE = fileURLToPath(new URL("../../edge/main.ts", import.meta.url));

const CLIENTS = 100;
const CONNECTIONS = 32;

/** An edge of one's own against what `npm start` was before, each with its embedded store. */
export const ownEdge: BenchGroup = {
  name: "own-edge",
  prepare: installPrevious,
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const apiKey = randomBytes(24).toString("base64url");
      const folder = await mkdtemp(join(tmpdir(), "artoria-own-edge-"));
      cleanup.addRemoval({ remove: () => rm(folder, { recursive: true, force: true }) });
      const build = join(folder, "build");
      await buildEdge(build);
      const port = await freePort();
      const env = { EDGE_PORT: String(port), API_KEYS: apiKey, SESSION_STORE: "embedded", EDGE_DRAIN_MS: "0" };
      const started = {
        name: "edge",
        file: EDGE,
        args: [build],
        port,
        env: { ...env, STATE_DIR: join(folder, "state") },
      };
      cleanup.add(await startNode(started));
      const previous = await startPrevious(apiKey);
      cleanup.add(previous.program);

      const [tokens, previousTokens] = [await issueTokens(port, apiKey), await issueTokens(previous.edgePort, apiKey)];
      const results: CaseResult[] = [];
      for (const { name, unit, path, headers, previousHeaders } of [
        {
          name: "an empty route of an edge of one's own",
          unit: "responses/s",
          path: "/healthz",
          headers: [""],
          previousHeaders: [""],
        },
        {
          name: "check at an edge of one's own",
          unit: "checks/s",
          path: "/v1/check",
          headers: tokens,
          previousHeaders: previousTokens,
        },
      ]) {
        const title: CaseTitle = {
          ...{ group: "own-edge", name, unit },
          against: "npm start of v0.1.0",
          target: { op: ">=", value: 2 },
        };
        const a = await LoadDriver.start("http-load.ts", { port, path, headers, connections: CONNECTIONS }, []);
        const peer = { port: previous.edgePort, path, headers: previousHeaders, connections: CONNECTIONS };
        const b = await LoadDriver.start("http-load.ts", peer, []);
        results.push(await measureRates(title, a, b, options));
        await a.stop();
        await b.stop();
      }
      return results;
    }),
};

/** The header lines of clients who have a session at this edge. */
async function issueTokens(port: number, apiKey: string): Promise<string[]> {
  const headers = { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" };
  const tokens: string[] = [];
  for (let client = 0; client < CLIENTS; client++) {
    const body = JSON.stringify({ user: `user-${client}` });
    const response = await fetch(`http://127.0.0.1:${port}/v1/sessions`, { method: "POST", headers, body });
    tokens.push(((await response.json()) as { token: string }).token);
  }
  return tokens.map((token) => `Authorization: Bearer ${token}`);
}
