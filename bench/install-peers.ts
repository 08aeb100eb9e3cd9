import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));

/** Installs the peers with `npm ci`, unless what is installed is newer than the lock file. npm talks on stderr. */
export async function installPeers(): Promise<void> {
  if ((await changedMs("node_modules/.package-lock.json")) > (await changedMs("package-lock.json"))) return;
  const npm = spawn("npm", ["ci", "--no-audit", "--no-fund"], {
    cwd: HERE,
    stdio: ["ignore", process.stderr, process.stderr],
    // npm is a script on Windows.
    shell: process.platform === "win32",
  });
  const [code] = await once(npm, "exit");
  if (code !== 0) throw new Error("npm ci failed in bench/");
}

async function changedMs(file: string): Promise<number> {
  return stat(HERE + file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
