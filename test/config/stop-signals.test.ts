import { EventEmitter } from "node:events";
import { beforeEach, describe, expect, test } from "vitest";
import { onStopSignals } from "../../config/stop-signals.ts";

let clockMs: number;
let process: EventEmitter;
let calls: string[];
beforeEach(() => {
  clockMs = 1_000;
  process = new EventEmitter();
  calls = [];
  const handlers = {
    first: (exitCode: number) => calls.push(`first ${exitCode}`),
    again: (exitCode: number) => calls.push(`again ${exitCode}`),
  };
  onStopSignals(process, handlers, () => clockMs);
});

describe("the signals that stop a program", () => {
  test("a Ctrl-C under npm is two signals and one stop", () => {
    process.emit("SIGINT");
    clockMs += 499;
    process.emit("SIGINT");
    expect(calls).toEqual(["first 130"]);
  });

  test("half a second later, another signal ends the program at once", () => {
    process.emit("SIGTERM");
    clockMs += 500;
    process.emit("SIGINT");
    expect(calls).toEqual(["first 143", "again 130"]);
  });
});
