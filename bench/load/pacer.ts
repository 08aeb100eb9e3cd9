import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/** The thread must run before the first tick is due. */
const LEAD_MS = 100;

/**
 * Calls `onTick(dueMs)` at `startMs`, `startMs + intervalMs`, ... until `stop` is called; times are performance.now() of the
 * calling thread. Node's own timers are up to 1 ms late, so another thread waits and posts messages. A tick that is late is not
 * skipped.
 */
export function startPacer(intervalMs: number, onTick: (dueMs: number) => void): { stop(): void } {
  const stopped = new Int32Array(new SharedArrayBuffer(4));
  const startMs = performance.now() + LEAD_MS;
  // Process-wide, which performance.now() is not.
  const startNs = process.hrtime.bigint() + BigInt(LEAD_MS * 1e6);
  const worker = new Worker(new URL(import.meta.url), { workerData: { intervalMs, startNs, stopped } });
  worker.on("message", (tick: number) => onTick(startMs + tick * intervalMs));
  return {
    stop() {
      Atomics.store(stopped, 0, 1);
      worker.removeAllListeners("message");
      void worker.terminate();
    },
  };
}

interface PacerData {
  readonly intervalMs: number;
  readonly startNs: bigint;
  readonly stopped: Int32Array;
}

if (!isMainThread && parentPort !== null) {
  const { intervalMs, startNs, stopped } = workerData as PacerData;
  for (let tick = 0; Atomics.load(stopped, 0) === 0; tick++) {
    const waitMs = tick * intervalMs - Number(process.hrtime.bigint() - startNs) / 1e6;
    if (waitMs > 0) Atomics.wait(stopped, 0, 0, waitMs);
    parentPort.postMessage(tick);
  }
}
