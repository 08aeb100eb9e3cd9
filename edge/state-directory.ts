import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, readdir, realpath, rm, stat, symlink } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { platform } from "node:os";
import { join } from "node:path";

/** What group and others may do. */
const OF_OTHERS = 0o077;

/** What says that an edge uses the directory. */
const LOCK = "edge.lock";

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
 * Takes the directory for this process: two processes that write one Durable Object would spoil it. The lock is a socket, which ends
 * with its process, however that ends.
 *
 * @param privateFolder where a link to the directory may be made, because the path of a socket must be short
 * @throws Error another edge uses it
 */
export async function lockStateDirectory(directory: string, privateFolder: string): Promise<LockedDirectory> {
  const path = await lockPath(directory, privateFolder);
  const server = createServer((socket) => socket.destroy());
  for (let tries = 0; ; tries++) {
    server.listen(path);
    const failure = await Promise.race([once(server, "listening").then(() => undefined), once(server, "error")]).catch(
      (error: unknown) => [error],
    );
    if (failure === undefined) break;
    const [error] = failure;
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    if (tries > 0 || (await isListenedOn(path))) {
      throw new Error(`STATE_DIR: another edge uses ${directory}; two at once would spoil what is in it`);
    }
    // Its process was killed.
    await rm(path, { force: true });
  }
  server.unref();
  return { close: () => server.close() };
}

async function lockPath(directory: string, privateFolder: string): Promise<string> {
  const target = await realpath(directory);
  if (platform() === "win32") return `\\\\.\\pipe\\artoria-${createHash("sha256").update(target).digest("hex")}`;
  const link = join(privateFolder, "state-directory");
  await symlink(target, link);
  return join(link, LOCK);
}

async function isListenedOn(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
