import { chmod, mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** What group and others may do. */
const OF_OTHERS = 0o077;

/** Miniflare's folders: a directory that holds nothing else is ours to close. */
const MINIFLARE_FOLDERS = new Set(["cache", "d1", "do", "ratelimit"]);

/**
 * Makes the directory in which sessions and accounts are kept readable by its owner only, with what an earlier version left
 * in it. What is written later is the owner's by the umask of `npm start`.
 *
 * @throws Error it holds other things, which others may be using, or belongs to somebody else
 */
export async function prepareStateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if (((await stat(directory)).mode & OF_OTHERS) === 0) return;
  const entries = await readdir(directory);
  if (entries.some((entry) => !MINIFLARE_FOLDERS.has(entry))) {
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
