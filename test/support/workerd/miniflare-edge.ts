import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare, type Request, Response } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_splitSqlQuery } from "wrangler";
import { isLoopbackHost } from "../../../config/loopback.ts";
import { ASSETS_DIRECTORY, buildAssets } from "../../../dev/build-assets.ts";
import { freePort } from "../../../dev/free-port.ts";
import { prepareStateDirectory } from "../../../edge/state-directory.ts";
import type { ScryptCost } from "../../../worker/password-hasher/password-service.ts";
import {
  type PasswordRequest,
  PasswordService,
  parseHashQueueLimits,
} from "../../../worker/password-hasher/password-service.ts";
import { edgeSocket } from "./edge-socket.ts";

const WRANGLER_TOML = fileURLToPath(new URL("../../../wrangler.toml", import.meta.url));

/** How often to try again if another program takes the port that was free. */
const MAX_TRIES = 5;

/** The worker's main module while it is closed: each isolate asks the binding GATE before its first request. */
const GATE = `
import worker from "./index.js";
export * from "./index.js";
let isOpen = false;
async function fetchWhenOpen(request, env, context) {
  await env.GATE.fetch("http://gate.invalid/");
  isOpen = true;
  return worker.fetch(request, env, context);
}
export default {
  ...worker,
  fetch: (...args) => (isOpen ? worker.fetch(...args) : fetchWhenOpen(...args)),
};
`;

/** How to run the worker in Miniflare. */
export interface EdgeConfig {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  /** Variables and secrets, over those of wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
  /** Where Durable Objects and databases keep their data; undefined: nothing is kept after the stop. */
  readonly stateDir?: string | undefined;
  /** Until it resolves, requests wait and get no response; undefined: they never wait. */
  readonly opened?: Promise<void> | undefined;
  /** Changes the bundled worker before it starts, for a test that records which of its functions run. */
  readonly transformScript?: ((script: string) => string) | undefined;
}

/** A running edge. */
export interface Edge {
  /** Without a slash at its end. */
  readonly url: string;
  readonly miniflare: Miniflare;
  close(): Promise<void>;
}

/**
 * Runs the worker in workerd with the configuration of wrangler.toml.
 *
 * @throws Error the port is taken, the worker does not build, or workerd does not start
 */
export async function startEdge(config: EdgeConfig): Promise<Edge> {
  const { host, port, variables, stateDir, opened, transformScript } = config;
  if (stateDir !== undefined) await prepareStateDirectory(stateDir);
  await buildAssets();
  const { workerOptions, main } = unstable_getMiniflareWorkerOptions(WRANGLER_TOML);
  if (main === undefined) throw new Error("wrangler.toml: main is needed");
  // The module rules are for several modules. The bundle is one module, and Miniflare 5 refuses rules for it.
  // Its stand-in for Cloudflare's asset servers is left out: it halves the speed of every request.
  const { modulesRules: _, assets: __, ...options } = workerOptions;
  const bundled = await bundle(main);
  const script = transformScript?.(bundled) ?? bundled;
  const { miniflare, address } = await openOn(host, port, (listenAt) =>
    convertV4MiniflareOptions({
      ...options,
      name: "artoria",
      unsafeBindings: [edgeSocket(listenAt)],
      modules: [
        ...(opened === undefined ? [] : [{ type: "ESModule" as const, path: "gate.js", contents: GATE }]),
        { type: "ESModule", path: "index.js", contents: script },
      ],
      serviceBindings: {
        ASSETS: serveAsset,
        PASSWORD_HASHER: hashInNode(variables),
        ...(opened !== undefined && { GATE: () => opened.then(() => new Response(null)) }),
      },
      bindings: {
        ...(options["bindings"] as Record<string, string>),
        LOOPBACK_ONLY: isLoopbackHost(host) ? "1" : "0",
        ...variables,
      },
      // Miniflare's own socket trusts its headers: only this process knows its port.
      host: "127.0.0.1",
      port: 0,
      // No look-up of Cloudflare's request properties over the network.
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.WARN),
      ...(stateDir !== undefined && { resourcePersistencePath: stateDir }),
    }),
  );
  await migrateDatabase(miniflare);
  return { url: `http://${address}`, miniflare, close: () => miniflare.dispose() };
}

type MiniflareOptions = ReturnType<typeof convertV4MiniflareOptions>;

/** Opens Miniflare on the address that it is to listen on; port 0 is any free one. */
async function openOn(host: string, port: number, options: (address: string) => MiniflareOptions) {
  for (let tries = 1; ; tries++) {
    const address = `${host.includes(":") ? `[${host}]` : host}:${port === 0 ? await freePort(host) : port}`;
    const miniflare = new Miniflare(options(address));
    try {
      await miniflare.ready;
      return { miniflare, address };
    } catch (error) {
      await miniflare.dispose().catch(() => undefined);
      // Another program was faster at a port that was free.
      const mayTryAgain = port === 0 && tries < MAX_TRIES && (error as { code?: string }).code === "ERR_ADDRESS_IN_USE";
      if (!mayTryAgain) throw error;
    }
  }
}

/** The worker as one ES module, as wrangler would upload it. */
async function bundle(main: string): Promise<string> {
  const built = await esbuild.build({
    entryPoints: [main],
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    write: false,
    sourcemap: "inline",
    jsx: "automatic",
    jsxImportSource: "hono/jsx",
    logLevel: "silent",
  });
  const [output] = built.outputFiles;
  if (output === undefined) throw new Error("the worker's bundle is empty");
  return output.text;
}

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".html": "text/html; charset=utf-8",
};

/** The worker's ASSETS, as Cloudflare's asset servers respond. */
async function serveAsset({ url }: Pick<Request, "url">): Promise<Response> {
  // A URL's path has no ".." any more.
  const { pathname } = new URL(url);
  const file = extname(pathname) === "" ? `${pathname}.html` : pathname;
  const type = TYPES[extname(file)];
  if (type === undefined) return notFound();
  const body = await readFile(join(ASSETS_DIRECTORY, file)).catch(() => undefined);
  if (body === undefined) return notFound();
  return new Response(body, {
    headers: { "Content-Type": type, "Cache-Control": "public, max-age=0, must-revalidate" },
  });
}

function notFound(): Response {
  return new Response(null, { status: 404 });
}

const MIGRATIONS = fileURLToPath(new URL("../../../migrations/", import.meta.url));

/** The table in which `wrangler d1 migrations apply` records what it has applied. Its use here lets both work on one database. */
const CREATE_TABLE = `CREATE TABLE IF NOT EXISTS d1_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)`;

/**
 * Brings the worker's database up to date, as `wrangler d1 migrations apply` does: each file of migrations/ once, in the
 * order of their names, all of a file or nothing.
 *
 * @throws Error a migration cannot be applied
 */
async function migrateDatabase(miniflare: Miniflare): Promise<void> {
  const database = await miniflare.getD1Database("DB");
  await database.prepare(CREATE_TABLE).run();
  const { results } = await database.prepare("SELECT name FROM d1_migrations").all<{ name: string }>();
  const applied = new Set(results.map(({ name }) => name));
  const files = (await readdir(MIGRATIONS)).filter((name) => name.endsWith(".sql")).sort();
  for (const name of files.filter((file) => !applied.has(file))) {
    const queries = unstable_splitSqlQuery(await readFile(MIGRATIONS + name, "utf8"));
    await database.batch([
      ...queries.map((query) => database.prepare(query)),
      database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name),
    ]);
  }
}

/**
 * The worker's PASSWORD_HASHER. All workers of a workerd share one thread, so a hash in any of them would stop every check;
 * Node hashes in other threads. Tests choose a lower `cost`.
 */
export function hashInNode(
  variables: Readonly<Record<string, string>>,
  cost?: ScryptCost,
): (request: Request) => Promise<Response> {
  const service = new PasswordService(parseHashQueueLimits(variables), cost);
  return async (request) => {
    const { status, headers, body } = await service.handle((await request.json()) as PasswordRequest);
    return new Response(body, { status, headers: Object.fromEntries(headers) });
  };
}
