import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../config/environment.ts";

/**
 * Where the version of package.json stands too, and between what. `npm version 0.3.0 --no-git-tag-version` raises package.json and
 * package-lock.json, and runs this program, which raises these.
 */
export const PLACES: Readonly<Record<string, RegExp>> = {
  "client/package.json": /(?<="version": ")[^"]+(?=")/,
  "protocol/versions.ts": /(?<=PACKAGE_VERSION = ")[^"]+(?=")/,
  "client/cpp/artoria.hpp": /(?<=#define ARTORIA_VERSION ")[^"]+(?=")/,
};

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The version of package.json. */
export async function packageVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(`${ROOT}package.json`, "utf8")) as { version: string };
  return version;
}

/** The text of a file of {@link PLACES} with this version in it. */
export function withVersion(file: string, text: string, version: string): string {
  const place = PLACES[file];
  if (place === undefined || !place.test(text)) throw new ConfigError(`${file}: it has no version`);
  return text.replace(place, version);
}

if (import.meta.main) {
  const version = await packageVersion();
  for (const file of Object.keys(PLACES)) {
    await writeFile(ROOT + file, withVersion(file, await readFile(ROOT + file, "utf8"), version));
  }
}
