/** A program's handlers of SIGINT and SIGTERM. Both get the exit code of a process that the signal ends: 128 + its number. */
export interface StopHandlers {
  /** Stops the program in order. */
  first(exitCode: number): void;
  /** Ends the program at once: somebody does not want to wait. */
  again(exitCode: number): void;
}

/** Node's `process`. This folder is compiled without Node's types, because the worker imports from it. */
interface SignalSource {
  on(name: "SIGINT" | "SIGTERM", listener: () => void): unknown;
}

const STOP_SIGNALS = [
  { name: "SIGINT", exitCode: 128 + 2 },
  { name: "SIGTERM", exitCode: 128 + 15 },
] as const;

/** npm passes on the SIGINT that the terminal has already sent to every process: both are one Ctrl-C. */
const ONE_KEYPRESS_MS = 500;

/** Calls the handlers at the signals of `process`. Signals within half a second of the first one belong to it. */
export function onStopSignals(
  process: SignalSource,
  { first, again }: StopHandlers,
  nowMs: () => number = Date.now,
): void {
  let firstAtMs: number | undefined;
  for (const { name, exitCode } of STOP_SIGNALS) {
    process.on(name, () => {
      if (firstAtMs === undefined) {
        firstAtMs = nowMs();
        first(exitCode);
      } else if (nowMs() - firstAtMs >= ONE_KEYPRESS_MS) {
        again(exitCode);
      }
    });
  }
}
