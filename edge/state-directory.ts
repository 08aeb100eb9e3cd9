import { chmod, mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** What group and others may do. */
const OF_OTHERS = 0o077;

/** What says that an edge uses the directory. */
const LOCK = "lock.sqlite";

/** Ours, and what Miniflare left in it under an earlier version: a directory that holds nothing else is ours to close. */
const OWN_ENTRIES = new Set(["cache", "d1", "do", "ratelimit", LOCK]);

/**
 * Makes the directory in which sessions and accounts are kept readable by its owner only, with what an earlier version left
 * in it. What is written later is the owner's by the umask of the program.
 *
 * @throws Error it holds other things, which others may be using, or belongs to somebody else
 */
export async function prepareStateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if (((await stat(directory)).mode & OF_OTHERS) === 0) return;
  const entries = await readdir(directory);
  if (entries.some((entry) => !OWN_ENTRIES.has(entry))) {
    throw new Error(`STATE_DIR: allowed is a directory that only its owner may read: chmod 700 ${directory}`);
  }
  const inside = await readdir(directory, { recursive: true });
  for (const path of [directory, ...inside.map((entry) => join(directory, entry))]) await closeToOthers(path);
}

async function closeToOthers(path: string): Promise<void> {
  const { mode } = await stat(path);
  try {
    await chmod(path, mode & ~OF_OTHERS);
  } catch (error) {
    throw new Error(`STATE_DIR: allowed is a directory of one's own (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** A directory that no other edge uses meanwhile. */
export interface LockedDirectory {
  close(): void;
}

/**
 * Takes the directory for this process: two processes that write one Durable Object would spoil it. SQLite's lock of a file is taken by
 * one process at most, on every system, and ends with its process, however that ends.
 *
 * @throws Error another edge uses it
 */
export function lockStateDirectory(directory: string): LockedDirectory {
  const lock = new DatabaseSync(join(directory, LOCK), { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if ((error as { readonly errcode?: number }).errcode !== SQLITE_BUSY) throw error;
    throw new Error(`STATE_DIR: another edge uses ${directory}; two at once would spoil what is in it`);
  }
  return { close: () => lock.close() };
}

/** https://sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;
