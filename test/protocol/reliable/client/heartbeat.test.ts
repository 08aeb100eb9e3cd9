import { describe, expect, it } from "vitest";
import { Heartbeat } from "../../../../protocol/reliable/client/heartbeat.ts";

const LIMITS = { pingAfterIdleMs: 10_000, deadAfterSilenceMs: 25_000, probeMs: 2_000 };

describe("Heartbeat", () => {
  it("pings after 10 s in which nothing was received, although much was sent", () => {
    const heartbeat = new Heartbeat(LIMITS, 0);
    heartbeat.sent(9_000);
    expect(heartbeat.due(9_999)).toBeUndefined();
    expect(heartbeat.deadlineMs).toBe(10_000);
    expect(heartbeat.due(10_000)).toBe("ping");
  });

  it("pings after 10 s in which nothing was sent, to keep the far end and proxies informed", () => {
    const heartbeat = new Heartbeat(LIMITS, 0);
    heartbeat.heard(9_000);
    expect(heartbeat.due(10_000)).toBe("ping");
  });

  it("reports the connection as suspect once, 2 s after a ping", () => {
    const heartbeat = new Heartbeat(LIMITS, 0);
    heartbeat.pinged(10_000);
    expect(heartbeat.due(11_999)).toBeUndefined();
    expect(heartbeat.due(12_000)).toBe("suspect");
    expect(heartbeat.isSuspect).toBe(true);
    expect(heartbeat.due(12_001)).toBeUndefined();
    expect(heartbeat.deadlineMs).toBe(25_000);
  });

  it("clears the suspicion with any received byte", () => {
    const heartbeat = new Heartbeat(LIMITS, 0);
    heartbeat.pinged(10_000);
    heartbeat.due(12_000);
    heartbeat.heard(13_000);
    expect(heartbeat.isSuspect).toBe(false);
    expect(heartbeat.due(13_000)).toBeUndefined();
    expect(heartbeat.deadlineMs).toBe(20_000);
  });

  it("pings 2 s after a message without a response, and suspects 2 s after that", () => {
    const heartbeat = new Heartbeat(LIMITS, 0);
    heartbeat.sentQuestion(1_000);
    heartbeat.sentQuestion(2_500);
    expect(heartbeat.due(2_999)).toBeUndefined();
    expect(heartbeat.due(3_000)).toBe("ping");
    heartbeat.pinged(3_000);
    expect(heartbeat.due(5_000)).toBe("suspect");
  });

  it("reports the connection as dead after 25 s of silence, at least two pings later", () => {
    const heartbeat = new Heartbeat(LIMITS, 0);
    heartbeat.heard(1_000);
    heartbeat.pinged(11_000);
    heartbeat.due(13_000);
    expect(heartbeat.due(25_999)).toBeUndefined();
    expect(heartbeat.due(26_000)).toBe("dead");
  });

  it("pings before it suspects, if the timer fires a minute late as in a hidden page", () => {
    const heartbeat = new Heartbeat(LIMITS, 0);
    expect(heartbeat.due(60_000)).toBe("ping");
    heartbeat.pinged(60_000);
    expect(heartbeat.due(60_001)).toBeUndefined();
    heartbeat.heard(60_050);
    expect(heartbeat.due(60_050)).toBeUndefined();

    heartbeat.pinged(120_000);
    expect(heartbeat.due(122_000)).toBe("suspect");
    expect(heartbeat.due(122_000)).toBe("dead");
  });
});
