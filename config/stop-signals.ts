/** A program's handlers of SIGINT and SIGTERM. Both get the exit code of a process that the signal ends: 128 + its number. */
export interface StopHandlers {
  /** Stops the program in order. */
  first(exitCode: number): void;
  /** Ends the program at once: somebody does not want to wait. */
  again(exitCode: number): void;
}

type StopSignal = "SIGINT" | "SIGTERM";

/** Node's `process`. This folder is compiled without Node's types, because the worker imports from it. */
interface ProgramProcess {
  on(name: StopSignal, listener: () => void): unknown;
  off(name: StopSignal, listener: () => void): unknown;
  /** Of the parent, as it is now. */
  readonly ppid: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}
declare function setInterval(call: () => void, periodMs: number): { unref(): void };
declare function clearInterval(timer: { unref(): void }): void;

const EXIT_CODES: Readonly<Record<StopSignal, number>> = { SIGINT: 128 + 2, SIGTERM: 128 + 15 };

/** npm passes on the SIGINT that the terminal has already sent to every process: both are one Ctrl-C. */
const ONE_KEYPRESS_MS = 500;

/** How often a program that npm has started looks whether its parent lives. */
const PARENT_CHECK_MS = 250;

/**
 * Calls the handlers at the signals of `process`. Signals within half a second of the first one belong to it.
 *
 * npm starts a script in a shell, and passes a SIGTERM on to this shell alone. Debian's `sh` then ends and leaves the program behind. So
 * under npm, the end of the parent counts as SIGTERM.
 *
 * @returns a function that takes the handlers away again
 */
export function onStopSignals(
  process: ProgramProcess,
  { first, again }: StopHandlers,
  nowMs: () => number = Date.now,
): () => void {
  let firstAtMs: number | undefined;
  const receive = (name: StopSignal): void => {
    if (firstAtMs === undefined) {
      firstAtMs = nowMs();
      first(EXIT_CODES[name]);
    } else if (nowMs() - firstAtMs >= ONE_KEYPRESS_MS) {
      again(EXIT_CODES[name]);
    }
  };
  const interrupted = (): void => receive("SIGINT");
  const terminated = (): void => receive("SIGTERM");
  process.on("SIGINT", interrupted);
  process.on("SIGTERM", terminated);
  const stopWatching = process.env["npm_lifecycle_event"] === undefined ? undefined : onParentEnd(process, terminated);
  return () => {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", terminated);
    stopWatching?.();
  };
}

/** Calls `ended` once when another process has become the parent. Does not keep the program alive. */
function onParentEnd(process: Pick<ProgramProcess, "ppid">, ended: () => void): () => void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    ended();
  }, PARENT_CHECK_MS);
  timer.unref();
  return () => clearInterval(timer);
}
