import { readdir, readFile, readlink } from "node:fs/promises";
import type { Edge } from "../workerd/miniflare-edge.ts";

/** Kills the workerd that serves an edge; `edge.close()` then cleans up behind it. */
export async function killWorkerd(edge: Edge): Promise<void> {
  process.kill(await workerdPid(edge), "SIGKILL");
}

/** What the workerd that serves an edge has in memory, bytes (proc(5), VmRSS). */
export async function workerdMemory(edge: Edge): Promise<number> {
  const status = await readFile(`/proc/${await workerdPid(edge)}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

async function workerdPid(edge: Edge): Promise<number> {
  const socket = `socket:[${await listeningInode(Number(new URL(edge.url).port))}]`;
  for (const pid of await childrenNamed("workerd")) if ((await openFiles(pid)).includes(socket)) return pid;
  throw new Error(`no workerd serves ${edge.url}`);
}

/** The processes of this name that this process has started, by /proc/<pid>/stat: "pid (name) state ppid ...". */
async function childrenNamed(name: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")));
  return stats.flatMap((stat) => {
    const [, pid, program, parent] = /^(\d+) \((.*)\) \S (\d+) /.exec(stat) ?? [];
    return program === name && Number(parent) === process.pid ? [Number(pid)] : [];
  });
}

/** By /proc/net/tcp: "sl local_address rem_address st ... inode", addresses as hex, the state 0A is LISTEN. */
async function listeningInode(port: number): Promise<string> {
  const lines = (await readFile("/proc/net/tcp", "utf8")).split("\n").map((line) => line.trim().split(/\s+/));
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const line = lines.find(([, local, , state]) => local?.endsWith(`:${hex}`) === true && state === "0A");
  if (line?.[9] === undefined) throw new Error(`nothing listens on port ${port}`);
  return line[9];
}

async function openFiles(pid: number): Promise<string[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  return Promise.all(descriptors.map((descriptor) => readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => "")));
}
