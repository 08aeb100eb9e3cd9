import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What runs at a user's: not the tests, which need Debian. */
const PROGRAMS = ["client", "config", "dev", "edge", "protocol", "redis-rest", "tcp-bridge", "worker"];

/**
 * Packages for other platforms that the npm registry behind this repository's machine has not got in the version that is needed, so that
 * package-lock.json has no digest of them. npm installs them all the same, where it finds them.
 */
const WITHOUT_INTEGRITY =
  /^node_modules\/@(?:biomejs\/cli|cloudflare\/workerd)-(?:(?:android|darwin|win32|windows)-\w+|linux-\w+-musl)$/;

interface LockedPackage {
  readonly integrity?: string;
  readonly os?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

async function readJson(file: string): Promise<unknown> {
  return JSON.parse(await readFile(join(ROOT, file), "utf8"));
}

describe("package.json's scripts", () => {
  test("are programs with plain arguments, joined by && at most, so that every shell runs them alike", async () => {
    const { scripts } = (await readJson("package.json")) as { scripts: Record<string, string> };
    const commands = Object.values(scripts).flatMap((script) => script.split(" && "));
    for (const command of commands) {
      expect(command).toMatch(/^(?:node|tsc|vitest|biome|wrangler)(?: [\w./=+:@-]+)*$/);
    }
    expect(commands.length).toBeGreaterThan(10);
  });
});

describe("package-lock.json", () => {
  test("has a digest of every package, and every platform's variant of those that have some", async () => {
    const { packages } = (await readJson("package-lock.json")) as { packages: Record<string, LockedPackage> };
    const { "": root, ...installed } = packages;
    expect(root).toBeDefined();
    const unverified = Object.entries(installed).filter(([, { integrity }]) => integrity === undefined);
    for (const [path, { os }] of unverified) {
      expect(path).toMatch(WITHOUT_INTEGRITY);
      expect(os, path).toBeDefined();
    }
    const variants = Object.entries(installed).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).map((name) => ({ path, name })),
    );
    const missing = variants.filter(({ path, name }) => !isInstalledFor(packages, path, name));
    expect(missing).toEqual([]);
    const platforms = new Set(Object.values(installed).flatMap(({ os = [] }) => os));
    expect([...platforms]).toEqual(expect.arrayContaining(["darwin", "linux", "win32"]));
  });
});

describe("the programs' code", () => {
  test("makes paths by node:path and node:url, and names no folder of one system", async () => {
    for (const folder of PROGRAMS) {
      const files = await readdir(join(ROOT, folder), { recursive: true });
      for (const file of files.filter((name) => /\.(?:ts|js)$/.test(name))) {
        const code = await readFile(join(ROOT, folder, file), "utf8");
        const where = join(folder, file);
        expect(code, where).not.toMatch(/import\.meta\.url\)\.pathname/);
        expect(code, where).not.toMatch(/["'`]\/(?:tmp|var|usr|etc|dev)\//);
      }
    }
  });
});

/** Node's way from a package to another: its own node_modules, then those of the folders above. */
function isInstalledFor(packages: Readonly<Record<string, LockedPackage>>, path: string, name: string): boolean {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("node_modules/") - 1))) {
    if (packages[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === "") return false;
  }
}
