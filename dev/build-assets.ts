import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Where wrangler.toml has them served from. */
export const ASSETS_DIRECTORY = join(ROOT, "dist/assets");

/** The header that the worker's responses have; deployed, the worker does not serve these files. */
const HEADERS = "/*\n  X-Content-Type-Options: nosniff\n";

/** What browsers may be: two years old, and no older. */
const TARGET = ["chrome122", "firefox123", "safari17.4"];

/**
 * Builds what browsers load from client/browser/ into dist/assets, which wrangler.toml serves. Several programs may do it
 * at once, and none of them sees a half-written file: what has not changed is not touched.
 */
export async function buildAssets(): Promise<void> {
  const { outputFiles } = await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: ["chat-page.ts", "chat-page.css", "console-page.ts", "console-page.css"].map(
      (file) => `client/browser/${file}`,
    ),
    outdir: join(ASSETS_DIRECTORY, "artoria"),
    bundle: true,
    minify: true,
    format: "esm",
    target: TARGET,
    write: false,
    logLevel: "silent",
  });
  await Promise.all(outputFiles.map(({ path, contents }) => replaceFile(path, contents)));
  await replaceFile(join(ASSETS_DIRECTORY, "_headers"), Buffer.from(HEADERS));
}

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
