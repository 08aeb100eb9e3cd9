import { readFileSync } from "node:fs";

/** The walks that docs/architecture.md shows: how many files each may pass, redis-rest's left out unless they are asked for. */
export const WALKS = [
  { name: "SessionCheck over TCP", goal: 24, goalWithRedisRest: 32 },
  { name: "SessionCheck from memory", goal: 11 },
  { name: "GET /v1/check with a cookie", goal: 20 },
  { name: "a player's Publish", goal: 20 },
  { name: "browser login", goal: 26 },
] as const;

export type WalkName = (typeof WALKS)[number]["name"];

const PAGE = new URL("../../docs/architecture.md", import.meta.url);

/** The files that the page lists for a walk, in order: the paths in backticks that its numbered items begin with. */
export function listedFiles(walk: WalkName): string[] {
  const [, section] = readFileSync(PAGE, "utf8").split(`### Walk: ${walk}\n`);
  const [list = ""] = section?.split(/^#/m) ?? [];
  return [...list.matchAll(/^\d+\. `([^`]+)`/gm)].map(([, file]) => file as string);
}

/** Those of them that are not of redis-rest, which a deployment at Upstash does not have. */
export function withoutRedisRest(files: Iterable<string>): string[] {
  return [...files].filter((file) => !file.startsWith("redis-rest/"));
}
