import { arch, availableParallelism, cpus, release, totalmem } from "node:os";

/** Where figures come from: without it they say nothing. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly measuredAt: string;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${arch()}, ${release()}`,
    node: process.version,
    measuredAt: new Date().toISOString(),
  };
}
