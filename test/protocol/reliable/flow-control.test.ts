import { describe, expect, it } from "vitest";
import { AckPolicy, DEFAULT_ACK_LIMITS } from "../../../protocol/reliable/flow-control.ts";

describe("AckPolicy", () => {
  it("is due 100 ms after the first message, however many follow", () => {
    const acks = new AckPolicy(DEFAULT_ACK_LIMITS);
    expect(acks.deadlineMs).toBeUndefined();
    acks.onReceived(10, 1_000);
    acks.onReceived(10, 1_050);
    expect(acks.isDue(1_099)).toBe(false);
    expect(acks.isDue(1_100)).toBe(true);
    expect(acks.deadlineMs).toBe(1_100);
  });

  it("is due at once with the 16th message", () => {
    const acks = new AckPolicy(DEFAULT_ACK_LIMITS);
    for (let message = 1; message <= 15; message++) acks.onReceived(1, 1_000);
    expect(acks.isDue(1_000)).toBe(false);
    acks.onReceived(1, 1_000);
    expect(acks.isDue(1_000)).toBe(true);
  });

  it("is due at once with 32 KiB", () => {
    const acks = new AckPolicy(DEFAULT_ACK_LIMITS);
    acks.onReceived(32 * 1024 - 1, 1_000);
    expect(acks.isDue(1_000)).toBe(false);
    acks.onReceived(1, 1_000);
    expect(acks.isDue(1_000)).toBe(true);
  });

  it("is due at once after a duplicate", () => {
    const acks = new AckPolicy(DEFAULT_ACK_LIMITS);
    acks.ackNow(1_000);
    expect(acks.isDue(1_000)).toBe(true);
  });

  it("starts again when the Ack was sent", () => {
    const acks = new AckPolicy(DEFAULT_ACK_LIMITS);
    for (let message = 1; message <= 15; message++) acks.onReceived(2_000, 1_000);
    acks.reset();
    expect(acks.deadlineMs).toBeUndefined();
    acks.onReceived(3_000, 2_000);
    expect(acks.isDue(2_000)).toBe(false);
    expect(acks.deadlineMs).toBe(2_100);
  });
});
