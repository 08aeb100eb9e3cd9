import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseStackConfig } from "../../dev/config.ts";
import { prepareStateDirectory } from "../../edge/state-directory.ts";
import { WorkerVariables } from "../../worker/config.ts";
import { HasherVariables } from "../../worker/password-hasher/password-service.ts";

const DECIDED_BY_NPM_START = ["SESSION_STORE", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "LOOPBACK_ONLY"];
const FREE_PORTS = {
  EDGE_PORT: "0",
  BRIDGE_PORT: "0",
  PLAYER_PORT: "0",
  METRICS_PORT: "0",
  CHECK_PORT: "0",
  REDIS_REST_PORT: "0",
};

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "artoria-state-"));
});
afterEach(() => rm(directory, { recursive: true }));

describe("STATE_DIR", () => {
  it("STATE_DIR and all that npm start writes there can be read by its owner only, whatever the umask", async () => {
    const state = join(directory, "new", "state");
    await startAndStop(state);
    const files = await readdir(state, { recursive: true, withFileTypes: true });
    expect(files.filter((entry) => entry.name.endsWith(".sqlite")).length).toBeGreaterThan(2);
    for (const path of [state, ...files.map((entry) => join(entry.parentPath, entry.name))]) {
      expect([path, await othersMay(path)]).toEqual([path, 0]);
    }
  });

  it("STATE_DIR is closed to others, with what an earlier version left in it", async () => {
    await mkdir(join(directory, "do", "artoria-ChatRoom"), { recursive: true });
    const file = join(directory, "do", "artoria-ChatRoom", "metadata.sqlite");
    await writeFile(file, "");
    await chmod(directory, 0o755);
    expect(await othersMay(file)).not.toBe(0);
    await prepareStateDirectory(directory);
    expect([await othersMay(directory), await othersMay(file)]).toEqual([0, 0]);
  });

  it("STATE_DIR is refused and left as it is if others may read other things in it", async () => {
    await writeFile(join(directory, "thesis.txt"), "");
    await chmod(directory, 0o755);
    await expect(prepareStateDirectory(directory)).rejects.toThrow(
      `STATE_DIR: allowed is a directory that only its owner`,
    );
    expect((await stat(directory)).mode & 0o777).toBe(0o755);
    await chmod(directory, 0o700);
    await prepareStateDirectory(directory);
  });
});

describe("npm start", () => {
  const names = Object.keys({ ...WorkerVariables.entries, ...HasherVariables.entries });
  const passedOn = names.filter((name) => !DECIDED_BY_NPM_START.includes(name));

  it.each(passedOn)("npm start passes %s on to the worker", (name) => {
    // As long as a key must be; the worker itself says what it allows.
    const value = `value of ${name}`.padEnd(40, ".");
    expect(parseStackConfig({ [name]: value }).workerVariables).toMatchObject({ [name]: value });
  });
});

/** What group and others may do. */
async function othersMay(path: string): Promise<number> {
  return (await stat(path)).mode & 0o077;
}

/** Runs `npm start` with a umask that closes nothing, until its banner is complete. */
async function startAndStop(stateDir: string): Promise<void> {
  const program = spawn("sh", ["-c", `umask 000; exec "$0" dev/start.js`, process.execPath], {
    detached: true,
    env: { ...process.env, ...FREE_PORTS, STATE_DIR: stateDir },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(program, "exit");
  try {
    let output = "";
    for await (const chunk of program.stdout) {
      output += chunk;
      if (output.endsWith("/docs\n\n") && program.pid !== undefined) process.kill(-program.pid, "SIGINT");
    }
    await ended;
    expect(output).toContain(`kept in ${stateDir}`);
  } finally {
    if (program.pid !== undefined && program.exitCode === null) process.kill(-program.pid, "SIGKILL");
  }
}
