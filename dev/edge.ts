import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions } from "wrangler";
import { isLoopbackHost } from "../config/loopback.ts";
import { buildAssets } from "./build-assets.ts";
import { edgeSocket } from "./edge-socket.ts";
import { freePort } from "./free-port.ts";
import { hashInNode } from "./hash-in-node.ts";
import { migrateDatabase } from "./migrate-database.ts";
import { serveAsset } from "./serve-asset.ts";
import { prepareStateDirectory } from "./state-directory.ts";

const WRANGLER_TOML = fileURLToPath(new URL("../wrangler.toml", import.meta.url));

/** At ports that were free a moment ago. */
const MAX_TRIES = 5;

/** How to run the worker in Miniflare. */
export interface EdgeConfig {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  /** Variables and secrets, over those of wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
  /** Where Durable Objects and databases keep their data; undefined: nothing is kept after the stop. */
  readonly stateDir?: string | undefined;
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
 * Runs the worker in workerd with the settings of wrangler.toml.
 *
 * @throws Error the port is taken, the worker does not build, or workerd does not start
 */
export async function startEdge({ host, port, variables, stateDir, transformScript }: EdgeConfig): Promise<Edge> {
  if (stateDir !== undefined) await prepareStateDirectory(stateDir);
  await buildAssets();
  const { workerOptions, main } = unstable_getMiniflareWorkerOptions(WRANGLER_TOML);
  if (main === undefined) throw new Error("wrangler.toml: main is needed");
  // The rules are for many modules; the bundle is one, and Miniflare 5 refuses them.
  // Its stand-in for Cloudflare's asset servers is left out: it costs every request more than half of the speed.
  const { modulesRules: _, assets: __, ...options } = workerOptions;
  const bundled = await bundle(main);
  const script = transformScript?.(bundled) ?? bundled;
  const { miniflare, address } = await openOn(host, port, (listenAt) =>
    convertV4MiniflareOptions({
      ...options,
      name: "artoria",
      unsafeBindings: [edgeSocket(listenAt)],
      modules: [{ type: "ESModule", path: "index.js", contents: script }],
      serviceBindings: { ASSETS: serveAsset, PASSWORD_HASHER: hashInNode(variables) },
      bindings: {
        ...(options["bindings"] as Record<string, string>),
        LOOPBACK_ONLY: isLoopbackHost(host) ? "1" : "0",
        ...variables,
      },
      // Miniflare's own socket believes what its headers say: it is for this process, and nobody is told its port.
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
