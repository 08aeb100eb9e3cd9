import { execFile } from "node:child_process";
import { access, cp, mkdir, readdir, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The folder of the npm package `artoria-client`, as it is packed. */
const PACKAGE = join(ROOT, "dist/client");

/** The folders whose modules the package may have; biome.json keeps them from importing others. */
const FOLDERS = ["client", "protocol", "config"];

const run = promisify(execFile);

/**
 * Builds the npm package `artoria-client` in dist/client/: tsc's output in lib/, and the sources that its maps lead to in src/.
 * `npm pack` then makes the tarball. Returns its path, dist/artoria-client-<version>.tgz.
 */
export async function buildClient(): Promise<string> {
  await rm(PACKAGE, { recursive: true, force: true });
  const sources = join(PACKAGE, "src");
  for (const folder of FOLDERS) await copySources(join(ROOT, folder), join(sources, folder));
  await cp(join(ROOT, "tsconfig.base.json"), join(sources, "tsconfig.base.json"));
  await cp(join(ROOT, "client/tsconfig.package.json"), join(sources, "client/tsconfig.json"));
  for (const file of ["client/package.json", "client/README.md", "LICENSE"]) {
    await cp(join(ROOT, file), join(PACKAGE, file.replace("client/", "")));
  }
  await run(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", join(sources, "client")]);
  await removeUnreached(sources, join(PACKAGE, "lib"));
  return await pack();
}

async function copySources(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const file of await listFiles(from)) {
    if (file.endsWith(".ts")) await cp(join(from, file), join(to, file));
  }
}

/** tsc has compiled what the entry points reach. Nothing else belongs into the package. */
async function removeUnreached(sources: string, compiled: string): Promise<void> {
  for (const file of await listFiles(sources)) {
    const isReached = await access(join(compiled, file.replace(/\.ts$/, ".js"))).then(
      () => file.endsWith(".ts"),
      () => false,
    );
    if (!isReached) await rm(join(sources, file));
  }
}

async function pack(): Promise<string> {
  const args = ["pack", "--json", "--pack-destination", join(ROOT, "dist")];
  // Started by npm, this program knows npm's own; the npm of the PATH is a batch file on Windows.
  const npm = process.env["npm_execpath"];
  const { stdout } =
    npm === undefined
      ? await run("npm", args, { cwd: PACKAGE })
      : await run(process.execPath, [npm, ...args], { cwd: PACKAGE });
  const [packed] = JSON.parse(stdout) as [{ readonly filename: string }];
  return join(ROOT, "dist", packed.filename);
}

async function listFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}

if (import.meta.main) {
  const tarball = await buildClient();
  process.stdout.write(
    `Built ${relative(process.cwd(), tarball)}. In your own project:\n\n  npm install "${tarball}"\n`,
  );
}
