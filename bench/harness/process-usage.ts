import { readFileSync } from "node:fs";

/** Linux: sysconf(_SC_CLK_TCK) is 100 on every architecture that Node supports. */
const TICKS_PER_SECOND = 100;

/** CPU seconds, user and system, that a process has used so far (proc(5), /proc/pid/stat fields 14 and 15). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name may hold spaces; what follows its last parenthesis does not. Field 3 is the first of these.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Bytes of memory that a process has to itself (proc(5), /proc/pid/smaps_rollup): shared libraries are not its cost. */
export function privateBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  let kibibytes = 0;
  for (const [, size] of rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)) kibibytes += Number(size);
  return kibibytes * 1024;
}
