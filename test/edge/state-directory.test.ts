import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { lockStateDirectory } from "../../edge/state-directory.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "artoria-lock-"));
});
afterEach(() => rm(directory, { recursive: true }));

/** A process that takes the lock and says so, or says why not. It ends with its standard input. */
function contender() {
  const module = new URL("../../edge/state-directory.ts", import.meta.url).href;
  const program = `const { lockStateDirectory } = await import(${JSON.stringify(module)});
    process.stdin.on("end", () => process.exit()).resume();
    try { lockStateDirectory(${JSON.stringify(directory)}); console.log("taken"); } catch (error) { console.log(error.message); }`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  return { child, says: once(child.stdout, "data").then(([line]) => String(line).trim()) };
}

describe("lockStateDirectory", () => {
  test("of several processes that come when the last one was killed, exactly one gets the directory", async () => {
    const last = contender();
    expect(await last.says).toBe("taken");
    last.child.kill("SIGKILL");
    await once(last.child, "close");
    const next = [contender(), contender(), contender()];
    const said = await Promise.all(next.map(({ says }) => says));
    for (const { child } of next) child.stdin.end();
    expect(said.filter((line) => line === "taken")).toHaveLength(1);
    expect(said.filter((line) => line.startsWith(`STATE_DIR: another edge uses ${directory}`))).toHaveLength(2);
    await Promise.all(next.map(({ child }) => child.exitCode ?? once(child, "close")));
  });

  test("a directory that was given back can be taken again", () => {
    lockStateDirectory(directory).close();
    const lock = lockStateDirectory(directory);
    expect(() => lockStateDirectory(directory)).toThrow("STATE_DIR: another edge uses");
    lock.close();
  });
});
