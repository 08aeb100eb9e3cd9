import { readFileSync } from "node:fs";

/**
 * How many files this process may have open, each connection being one; undefined where the system does not say (Linux
 * does). Node has raised its soft limit to the hard one.
 */
export function maxOpenFiles(): number | undefined {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** The connections that a port may have, and the files that each of them takes. */
export interface FileDemand {
  readonly connections: number;
  readonly filesEach: number;
}

/**
 * Shares out open files: a port that is full must not leave the other without any. Returns the connections that each may
 * have, all of them if the files suffice, and else all lowered by the same factor.
 *
 * `reserved`: the files that are needed besides.
 */
export function shareOpenFiles(maxFiles: number, reserved: number, demands: readonly FileDemand[]): readonly number[] {
  const demanded = demands.reduce((files, { connections, filesEach }) => files + connections * filesEach, 0);
  const factor = Math.min(1, Math.max(0, maxFiles - reserved) / demanded);
  return demands.map(({ connections }) => Math.max(1, Math.floor(connections * factor)));
}
