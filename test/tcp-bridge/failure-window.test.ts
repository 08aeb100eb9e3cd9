import { expect, it } from "vitest";
import { Status } from "../../protocol/status.ts";
import { FailureWindow } from "../../tcp-bridge/game/failure-window.ts";
import { PacketBytes } from "../support/packet-bytes.ts";

const MINUTE_MS = 60_000;

function answers(...packets: readonly (readonly [type: number, status: Status])[]): Uint8Array {
  return Buffer.concat(packets.map(([type, status]) => new PacketBytes().u8(status).packet(type)));
}

it("counts NotFound and Denied of checks, access checks and deletes, and nothing else", () => {
  const window = new FailureWindow(10);
  window.count(answers([2, Status.NotFound], [12, Status.Denied], [6, Status.NotFound]), 0);
  expect(window.allowance(0)).toBe(7);
  window.count(answers([2, Status.Ok], [2, Status.Unavailable], [6, Status.Invalid], [4, Status.Conflict]), 0);
  window.count(answers([8, Status.NotFound], [127, Status.Denied]), 0);
  expect(window.allowance(0)).toBe(7);
});

it("forgets after a minute from the first failure", () => {
  const window = new FailureWindow(2);
  const startMs = 1_000_000;
  window.count(answers([2, Status.NotFound]), startMs);
  window.count(answers([2, Status.NotFound]), startMs + MINUTE_MS - 1);
  expect(window.allowance(startMs + MINUTE_MS - 1)).toBe(0);
  expect(window.allowance(startMs + MINUTE_MS)).toBe(2);
  window.count(answers([2, Status.NotFound]), startMs + MINUTE_MS);
  expect(window.allowance(startMs + 2 * MINUTE_MS - 1)).toBe(1);
  expect(window.allowance(startMs + 2 * MINUTE_MS)).toBe(2);
});
