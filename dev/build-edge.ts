import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { parse } from "smol-toml";
import * as v from "valibot";
import { EDGE_BUILD_DIRECTORY, type EdgeBindings, type EdgeBuild } from "../edge/edge-build.ts";
import { ASSETS_DIRECTORY, buildAssets } from "./build-assets.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const WORKER = join(ROOT, "worker/index.ts");
const MIGRATIONS = join(ROOT, "migrations");

/** What runs in workerd beside the worker's bundle. */
const MODULES = ["entry", "accounts-binding", "accounts-database", "rate-limit", "static-files"];

/** How the worker's bundle is made. */
export interface BundleOptions {
  /** Changes the bundle, for a test that records which of its functions run. It is not minified then, and has its source map. */
  readonly transformScript?: ((script: string) => string) | undefined;
}

/**
 * Builds what `npm run edge` runs: the worker as wrangler.toml's production environment has it, and the modules around it.
 *
 * @throws Error the worker does not build, or wrangler.toml lacks what the edge needs
 */
export async function buildEdge(directory: string, options: BundleOptions = {}): Promise<EdgeBuild> {
  await mkdir(directory, { recursive: true });
  const [bindings] = await Promise.all([
    readBindings(),
    bundleWorker(WORKER, options).then((script) => writeFile(join(directory, "index.js"), script)),
    ...MODULES.map((name) => bundleModule(name, directory)),
    buildAssets().then(() => cp(ASSETS_DIRECTORY, join(directory, "assets"), { recursive: true })),
  ]);
  await writeFile(join(directory, "main.js"), mainModule(bindings));
  await writeFile(join(directory, "config.json"), JSON.stringify(bindings, null, 2));
  return { directory, bindings };
}

/** A worker as one module, by the options with which wrangler bundles ours. */
export async function bundleWorker(entryPoint: string, { transformScript }: BundleOptions = {}): Promise<string> {
  const { minify, keep_names } = await readWranglerToml();
  const script = await bundle({
    entryPoints: [entryPoint],
    ...(transformScript === undefined ? { minify, keepNames: keep_names } : { sourcemap: "inline" }),
  });
  return transformScript?.(script) ?? script;
}

async function bundleModule(name: string, directory: string): Promise<void> {
  const script = await bundle({
    entryPoints: [join(ROOT, "edge/modules", `${name}.ts`)],
    plugins: [BESIDE_THE_WORKER],
  });
  await writeFile(join(directory, `${name}.js`), script);
}

/** What edge/modules/ imports of worker/index.ts is in the bundle, as it is deployed. */
const BESIDE_THE_WORKER: esbuild.Plugin = {
  name: "beside-the-worker",
  setup: (build) => {
    build.onResolve({ filter: /\/worker\/index\.ts$/ }, () => ({ path: "./index.js", external: true }));
  },
};

async function bundle(options: esbuild.BuildOptions): Promise<string> {
  const { outputFiles } = await esbuild.build({
    absWorkingDir: ROOT,
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    jsx: "automatic",
    jsxImportSource: "hono/jsx",
    logLevel: "silent",
    ...options,
    write: false,
  });
  const [output] = outputFiles ?? [];
  if (output === undefined) throw new Error("esbuild has made no bundle");
  return output.text;
}

/** The main module: the worker's exports, with the entry in front of its routes, and Durable Objects that can be told to let go. */
function mainModule({ durableObjects }: EdgeBindings): string {
  const classOf = (binding: string) => durableObjects.find(({ name }) => name === binding)?.className;
  const [room, ...hubs] = ["ROOMS", "SESSION_HUB", "EVENT_HUB"].map(classOf);
  return `import * as worker from "./index.js";
import { endingHub, leavingRoom } from "./entry.js";
export * from "./index.js";
export { Control, default } from "./entry.js";
export const ${room} = leavingRoom(worker.${room});
${hubs.map((hub) => `export const ${hub} = endingHub(worker.${hub});`).join("\n")}
`;
}

/** The parts of wrangler.toml that the edge uses. */
const WranglerToml = v.object({
  compatibility_date: v.string(),
  compatibility_flags: v.array(v.string()),
  minify: v.boolean(),
  keep_names: v.boolean(),
  assets: v.object({ binding: v.string() }),
  env: v.object({
    production: v.object({
      vars: v.record(v.string(), v.string()),
      durable_objects: v.object({ bindings: v.array(v.object({ name: v.string(), class_name: v.string() })) }),
      ratelimits: v.array(v.object({ name: v.string(), simple: v.object({ limit: v.number(), period: v.number() }) })),
      services: v.tuple([v.object({ binding: v.string() })]),
      d1_databases: v.tuple([v.object({ binding: v.string() })]),
    }),
  }),
});

async function readWranglerToml(): Promise<v.InferOutput<typeof WranglerToml>> {
  return v.parse(WranglerToml, parse(await readFile(join(ROOT, "wrangler.toml"), "utf8")));
}

/** The bindings of wrangler.toml's production environment. */
export async function readBindings(): Promise<EdgeBindings> {
  const { compatibility_date, compatibility_flags, assets, env } = await readWranglerToml();
  const { vars, durable_objects, ratelimits, services, d1_databases } = env.production;
  return {
    compatibilityDate: compatibility_date,
    // workerd has this one since 2026-08-04 without being told, and warns of it.
    compatibilityFlags: compatibility_flags.filter((flag) => flag !== "nodejs_compat"),
    variables: vars,
    durableObjects: durable_objects.bindings.map(({ name, class_name }) => ({ name, className: class_name })),
    rateLimits: ratelimits.map(({ name, simple }) => ({ name, limit: simple.limit, periodSeconds: simple.period })),
    database: d1_databases[0].binding,
    passwordHasher: services[0].binding,
    assets: assets.binding,
    migrations: await readMigrations(),
  };
}

async function readMigrations(): Promise<EdgeBindings["migrations"]> {
  const names = (await readdir(MIGRATIONS)).filter((name) => name.endsWith(".sql")).sort();
  return Promise.all(names.map(async (name) => ({ name, sql: await readFile(join(MIGRATIONS, name), "utf8") })));
}

if (import.meta.main) {
  await rm(EDGE_BUILD_DIRECTORY, { recursive: true, force: true });
  await buildEdge(EDGE_BUILD_DIRECTORY);
}
