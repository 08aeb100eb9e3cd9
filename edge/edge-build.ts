import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where `npm run build:edge` writes, and `npm run edge` reads. */
export const EDGE_BUILD_DIRECTORY = fileURLToPath(new URL("../dist/edge/", import.meta.url));

/**
 * What `npm run build:edge` makes of worker/, edge/modules/, migrations/ and wrangler.toml. Beside its config.json the directory has
 * the modules (`index.js` is the worker's bundle; entry.js, accounts-database.js, rate-limit.js and static-files.js are of
 * edge/modules/) and `assets/`, the static files.
 */
export interface EdgeBuild {
  readonly directory: string;
  readonly bindings: EdgeBindings;
}

/** The bindings of wrangler.toml's production environment. */
export interface EdgeBindings {
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  readonly durableObjects: readonly { readonly name: string; readonly className: string }[];
  readonly rateLimits: readonly { readonly name: string; readonly limit: number; readonly periodSeconds: number }[];
  /** Names of the bindings. */
  readonly database: string;
  readonly passwordHasher: string;
  readonly assets: string;
  /** The files of migrations/, in their order. */
  readonly migrations: readonly { readonly name: string; readonly sql: string }[];
}

/**
 * Reads a build.
 *
 * @throws Error there is none
 */
export async function readEdgeBuild(directory: string = EDGE_BUILD_DIRECTORY): Promise<EdgeBuild> {
  const text = await readFile(join(directory, "config.json"), "utf8").catch(() => {
    throw new Error(`${directory} has no build of the edge: "npm run build:edge" makes it`);
  });
  return { directory, bindings: JSON.parse(text) as EdgeBindings };
}
