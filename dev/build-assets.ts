import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Where wrangler.toml has them served from. */
export const ASSETS_DIRECTORY = join(ROOT, "dist/assets");

/** The headers that the worker's responses have; deployed, the worker does not serve these files. */
const HEADERS = `/*
  X-Content-Type-Options: nosniff
/docs
  Content-Security-Policy: default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'
`;

/** What browsers may be: two years old, and no older. */
const TARGET = ["chrome122", "firefox123", "safari17.4"];

/**
 * Builds what is static into dist/assets, which wrangler.toml serves: what browsers load, from client/browser/, and the description
 * of the API, from worker/api-docs/. Several programs may do it at once, and none of them sees a half-written file: what has not
 * changed is not touched.
 */
export async function buildAssets(): Promise<void> {
  await Promise.all([
    buildPages(),
    buildApiDocs(),
    replaceFile(join(ASSETS_DIRECTORY, "_headers"), Buffer.from(HEADERS)),
  ]);
}

async function buildPages(): Promise<void> {
  const { outputFiles } = await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: [
      "pages.css",
      "chat-page.ts",
      "chat-page.css",
      "console/console-page.ts",
      "console/console-page.css",
      "docs-page.css",
    ].map((file) => `client/browser/${file}`),
    outdir: join(ASSETS_DIRECTORY, "artoria"),
    entryNames: "[name]",
    bundle: true,
    minify: true,
    format: "esm",
    target: TARGET,
    write: false,
    logLevel: "silent",
  });
  await Promise.all(outputFiles.map(({ path, contents }) => replaceFile(path, contents)));
  await replaceFile(join(ASSETS_DIRECTORY, "artoria/icon.svg"), await readFile(join(ROOT, "client/browser/icon.svg")));
}

/** What worker/api-docs/ exports. */
interface ApiDocs {
  openApiDocument(): unknown;
  docsPage(): string;
}

/**
 * Runs worker/api-docs/ here. Its schemas are in the files of the routes, which import from the Workers runtime what they need only
 * for requests.
 */
async function buildApiDocs(): Promise<void> {
  const { outputFiles } = await esbuild.build({
    absWorkingDir: join(ROOT, "worker/api-docs"),
    stdin: {
      contents: 'export * from "./openapi.ts"; export * from "./docs-page.tsx";',
      resolveDir: join(ROOT, "worker/api-docs"),
    },
    bundle: true,
    platform: "node",
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "hono/jsx",
    plugins: [WITHOUT_WORKERS_RUNTIME],
    write: false,
    logLevel: "silent",
  });
  const code = outputFiles[0]?.contents ?? Buffer.alloc(0);
  const { openApiDocument, docsPage } = (await import(
    `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`
  )) as ApiDocs;
  await replaceFile(join(ASSETS_DIRECTORY, "openapi.json"), Buffer.from(JSON.stringify(openApiDocument())));
  await replaceFile(join(ASSETS_DIRECTORY, "docs.html"), Buffer.from(docsPage()));
}

const WITHOUT_WORKERS_RUNTIME: esbuild.Plugin = {
  name: "without-workers-runtime",
  setup: (build) => {
    build.onResolve({ filter: /^cloudflare:/ }, ({ path }) => ({ path, namespace: "workers-runtime" }));
    build.onLoad({ filter: /.*/, namespace: "workers-runtime" }, () => ({
      contents: "export const waitUntil = () => {}; export class DurableObject {}",
    }));
  },
};

async function replaceFile(path: string, contents: Uint8Array): Promise<void> {
  const before = await readFile(path).catch(() => undefined);
  if (before?.equals(contents) === true) return;
  await mkdir(dirname(path), { recursive: true });
  // Not beside it: what lies there is served.
  const unfinished = join(ROOT, "dist", randomUUID());
  await writeFile(unfinished, contents);
  await rename(unfinished, path);
}

if (import.meta.main) await buildAssets();
