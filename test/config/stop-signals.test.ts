import { EventEmitter } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { onStopSignals } from "../../config/stop-signals.ts";

class FakeProcess extends EventEmitter {
  ppid = 100;
  readonly env: Record<string, string> = {};
}

let process: FakeProcess;
let calls: string[];
const handlers = {
  first: (exitCode: number) => calls.push(`first ${exitCode}`),
  again: (exitCode: number) => calls.push(`again ${exitCode}`),
};

beforeEach(() => {
  vi.useFakeTimers();
  process = new FakeProcess();
  calls = [];
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the signals that stop a program", () => {
  test("a Ctrl-C under npm is two signals and one stop", () => {
    onStopSignals(process, handlers);
    process.emit("SIGINT");
    vi.advanceTimersByTime(499);
    process.emit("SIGINT");
    expect(calls).toEqual(["first 130"]);
  });

  test("half a second later, another signal ends the program at once", () => {
    onStopSignals(process, handlers);
    process.emit("SIGTERM");
    vi.advanceTimersByTime(500);
    process.emit("SIGINT");
    expect(calls).toEqual(["first 143", "again 130"]);
  });

  test("handlers that were taken away are not called", () => {
    process.env["npm_lifecycle_event"] = "start";
    const forget = onStopSignals(process, handlers);
    forget();
    process.emit("SIGINT");
    process.ppid = 1;
    vi.advanceTimersByTime(1_000);
    expect(calls).toEqual([]);
    expect(process.eventNames()).toEqual([]);
  });
});

describe("the end of the parent", () => {
  test("stops a program that npm has started, once and in order", () => {
    process.env["npm_lifecycle_event"] = "start";
    onStopSignals(process, handlers);
    vi.advanceTimersByTime(1_000);
    expect(calls).toEqual([]);
    process.ppid = 1;
    vi.advanceTimersByTime(1_000);
    expect(calls).toEqual(["first 143"]);
  });

  test("soon after a SIGTERM that the program got itself is one stop", () => {
    process.env["npm_lifecycle_event"] = "start";
    onStopSignals(process, handlers);
    process.emit("SIGTERM");
    process.ppid = 1;
    vi.advanceTimersByTime(1_000);
    expect(calls).toEqual(["first 143"]);
  });

  test("does not stop a program that was started without npm, as a service manager does", () => {
    onStopSignals(process, handlers);
    process.ppid = 1;
    vi.advanceTimersByTime(1_000);
    expect(calls).toEqual([]);
  });
});
