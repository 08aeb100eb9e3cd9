import { execFile, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Ignored by git, and kept for later runs. Not in node_modules: Node strips no types there. */
const RELEASES = join(ROOT, "dist/releases");

/** The commits of the releases that deployments may come from. A clone may lack the tags. */
export const RELEASE_COMMITS = { "0.1.0": "5acd740" } as const;

/**
 * Whether the release can be taken from git. A shallow clone and an unpacked archive have no history; `git fetch --unshallow` gets it.
 */
export function hasEarlierRelease(version: keyof typeof RELEASE_COMMITS): boolean {
  const { status } = spawnSync("git", ["cat-file", "-e", `${RELEASE_COMMITS[version]}^{tree}`], { cwd: ROOT });
  if (status === 0) return true;
  process.stderr.write(`no tests with release ${version}: this folder has no git history\n`);
  return false;
}

/** The folder of an earlier release: its tree, and the packages of its own lock file. Installs them the first time. */
export async function earlierRelease(version: keyof typeof RELEASE_COMMITS): Promise<string> {
  const folder = join(RELEASES, version);
  if (await exists(folder)) return folder;
  await mkdir(RELEASES, { recursive: true });
  const unfinished = await mkdtemp(`${folder}-`);
  try {
    const archive = join(unfinished, "release.tar");
    await run("git", ["archive", "-o", archive, RELEASE_COMMITS[version], "--", ".", ":(exclude)test"], ROOT);
    await run("tar", ["-xf", archive, "-C", unfinished], ROOT);
    await rm(archive);
    // No package of it needs its scripts here: it runs on the Node of the tests.
    await run("npm", ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"], unfinished);
    await rename(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another test was faster.
    if (!(await exists(folder))) throw error;
  }
  return folder;
}

/** The version that the package.json in this folder has. */
export async function versionOf(folder: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as { version: string };
  return version;
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  await promisify(execFile)(command, args, { cwd, maxBuffer: 16 * 1024 * 1024 });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
