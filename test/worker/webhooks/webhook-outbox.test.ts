import { describe, expect, it } from "vitest";
import { JITTER, MAX_HELD, MAX_SENDING, POLL_MS } from "../../../worker/webhooks/webhook-outbox.ts";
import {
  DELIVERED,
  failed,
  GONE,
  numberOf,
  OutboxStage,
  type OutboxStageOptions,
  positionOf,
} from "../../support/webhooks/outbox-stage.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** When a message is tried that always fails, by the specification's schedule, if a failure is told at once. */
const TRIES_MS = [
  "0:00:00",
  "0:00:05",
  "0:05:05",
  "0:35:05",
  "2:35:05",
  "7:35:05",
  "17:35:05",
  "31:35:05",
  "51:35:05",
  "75:35:05",
].map((time) => time.split(":").reduce((seconds, part) => 60 * seconds + Number(part), 0) * SECOND_MS);

/** A stage whose outbox has begun, at the end of an empty log. */
function startedStage(options?: OutboxStageOptions): OutboxStage {
  const stage = new OutboxStage(options);
  stage.start();
  stage.run(SECOND_MS);
  return stage;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

describe("an outbox", () => {
  it("begins at the end of the log, and sends each end after it once", () => {
    const stage = new OutboxStage();
    stage.end(1, 2, 3);
    stage.start();
    stage.run(SECOND_MS);
    stage.end(4, 5);
    stage.run(HOUR_MS);
    expect(stage.requests.map(({ id }) => id)).toEqual([positionOf(4), positionOf(5)]);
    expect(stage.storage.state).toMatchObject({ cursor: positionOf(5), isDisabled: false });
    expect(stage.outbox?.status).toEqual({ state: "on", held: 0, behind: false, oldestAt: null, lastError: null });
  });

  it("sends at most five messages at once, and never two of one session", () => {
    const stage = startedStage();
    const sessids = range(1, 500).map((number) => number % 7);
    let twice = 0;
    stage.treat = ({ sessid }) => {
      if ([...stage.underWay.values()].includes(sessid)) twice += 1;
      return { outcome: DELIVERED, tookMs: 100 };
    };
    stage.end(...sessids);
    stage.run(HOUR_MS);
    expect(stage.processed.toSorted((a, b) => a - b)).toEqual(range(1, 500));
    expect(stage.mostUnderWay).toBe(MAX_SENDING);
    expect(twice).toBe(0);
  });

  it("sends those of other sessions while one message is under way, though its session has ended again", () => {
    const stage = startedStage();
    stage.treat = ({ sessid }) => ({ outcome: DELIVERED, tookMs: sessid === 1 ? 15 * SECOND_MS : 1 });
    for (const sessid of [1, 1, 2, 1, 3, 2, 4]) {
      stage.end(sessid);
      stage.run(100);
    }
    expect(stage.processed).toEqual([1, 3, 5, 6, 7]);
    stage.run(MINUTE_MS);
    expect(stage.processed).toEqual([1, 3, 5, 6, 7, 2, 4]);
  });

  it("takes eight hours to send 10,000 ends to a receiver that needs 14 s for each", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: DELIVERED, tookMs: 14 * SECOND_MS });
    stage.end(...range(1, 10_000));
    stage.run(8 * HOUR_MS);
    expect(stage.requests.length).toBe(10_000);
    expect(stage.storage.cursor).toBe(positionOf(10_000));
    expect(stage.mostUnderWay).toBe(MAX_SENDING);
  });

  it("reads no more than 11,000 ends ahead of a message that is under way", () => {
    const stage = startedStage();
    stage.treat = ({ id }) => ({ outcome: DELIVERED, tookMs: numberOf(id) === 1 ? HOUR_MS : 1 });
    stage.end(...range(1, 15_000));
    stage.run(MINUTE_MS);
    expect(stage.requests.length).toBeGreaterThanOrEqual(10_000);
    expect(stage.requests.length).toBeLessThanOrEqual(11_000);
    stage.run(2 * HOUR_MS);
    expect(stage.storage.cursor).toBe(positionOf(15_000));
  });

  it("sends the ends of one session in the order of the log, whatever fails", () => {
    const stage = startedStage();
    let tries = 0;
    stage.treat = () => ({ outcome: ++tries % 3 === 0 ? DELIVERED : failed(), tookMs: tries % 50 });
    stage.end(...range(1, 60).map((number) => number % 4));
    stage.run(4 * HOUR_MS);
    const { processed } = stage;
    for (const session of range(0, 3)) {
      const numbers = processed.filter((number) => number % 4 === session);
      expect(numbers).toEqual(range(1, 60).filter((number) => number % 4 === session));
    }
  });

  it("finds by itself, every 15 s, what nobody pokes about", () => {
    const stage = startedStage();
    stage.pokes = false;
    stage.end(1);
    stage.run(POLL_MS);
    expect(stage.processed).toEqual([1]);
    stage.run(HOUR_MS);
    expect(stage.reads.length).toBe(2 + HOUR_MS / POLL_MS);
  });

  it("reads again if it is poked while it reads", () => {
    const stage = startedStage();
    stage.readMs = 100;
    stage.end(1);
    stage.run(50);
    stage.end(2);
    stage.run(300);
    expect(stage.processed).toEqual([1, 2]);
  });

  it("goes on after the store was down", () => {
    const stage = startedStage();
    stage.isStoreDown = true;
    stage.end(1, 2);
    stage.run(HOUR_MS);
    stage.isStoreDown = false;
    stage.run(POLL_MS + SECOND_MS);
    expect(stage.processed).toEqual([1, 2]);
  });

  it("sends again after a restart what was under way, and loses nothing", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: DELIVERED, tookMs: 1000 });
    stage.end(...range(1, 20));
    for (let restarts = 0; restarts < 10; restarts++) {
      stage.run(1500);
      stage.start();
    }
    stage.run(MINUTE_MS);
    expect(stage.processed).toEqual(range(1, 20));
    expect(stage.storage.cursor).toBe(positionOf(20));
  });

  it("is started by its alarm, at a time of its schedule too", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: failed(), tookMs: 0 });
    stage.end(1);
    stage.run(SECOND_MS);
    stage.stop();
    stage.treat = () => ({ outcome: DELIVERED, tookMs: 0 });
    stage.run(4 * SECOND_MS + stage.readMs);
    expect(stage.processed).toEqual([1]);
  });
});

describe("a message that fails", () => {
  it("is tried by the specification's schedule, and then given up", () => {
    const stage = startedStage();
    const beganMs = stage.nowMs;
    stage.treat = () => ({ outcome: failed("503"), tookMs: 0 });
    stage.end(1);
    stage.run(90 * HOUR_MS);
    expect(stage.triesOf(1, beganMs)).toEqual(TRIES_MS.map((ms) => ms + stage.readMs));
    expect(stage.storage.held.size).toBe(0);
    expect(stage.warnings).toEqual([
      "the receiver of webhooks fails: 503",
      "a webhook is given up after 10 tries: 503",
    ]);
  });

  it("is tried up to a tenth later, at random", () => {
    const stage = startedStage({ random: () => 1 - Number.EPSILON });
    const beganMs = stage.nowMs + stage.readMs;
    stage.treat = () => ({ outcome: failed(), tookMs: 0 });
    stage.end(1);
    stage.run(90 * HOUR_MS);
    const tries = stage.triesOf(1, beganMs);
    expect(tries.length).toBe(TRIES_MS.length);
    for (const [index, ms] of TRIES_MS.entries()) {
      expect(tries[index]).toBeGreaterThan(ms * (1 + JITTER) - TRIES_MS.length - 1);
      expect(tries[index]).toBeLessThanOrEqual(ms * (1 + JITTER));
    }
  });

  it("is the same message at each try", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: failed(), tookMs: 0 });
    stage.end(1);
    stage.run(MINUTE_MS);
    stage.start();
    stage.run(HOUR_MS);
    expect(stage.requests.length).toBeGreaterThan(3);
    expect(new Set(stage.requests.map(({ id, body }) => `${id} ${body}`)).size).toBe(1);
  });

  it("lets later ends of its session wait, and no others", () => {
    const stage = startedStage();
    stage.treat = ({ id }) => ({ outcome: numberOf(id) === 1 ? failed() : DELIVERED, tookMs: 10 });
    stage.end(7, 8, 7, 9);
    stage.run(HOUR_MS);
    expect(stage.processed).toEqual([2, 4]);
    expect(stage.outbox?.status).toMatchObject({ held: 2, behind: false });
    stage.run(100 * HOUR_MS);
    // The first is given up, so the other is not held back any more.
    expect(stage.processed).toEqual([2, 4, 3]);
  });

  it("keeps its schedule over a restart", () => {
    const stage = startedStage();
    const beganMs = stage.nowMs + stage.readMs;
    stage.treat = () => ({ outcome: failed(), tookMs: 0 });
    stage.end(1);
    for (let restarts = 0; restarts < 100; restarts++) {
      stage.run(HOUR_MS);
      stage.start();
    }
    expect(stage.triesOf(1, beganMs)).toEqual(TRIES_MS);
  });

  it("is tried at once when another succeeds, and only once between two tries of its schedule", () => {
    const stage = startedStage();
    stage.treat = ({ sessid }) => ({ outcome: sessid === 1 ? failed() : DELIVERED, tookMs: 0 });
    stage.end(1);
    stage.run(SECOND_MS);
    const begunMs = stage.nowMs;
    for (const sessid of range(2, 10_000)) {
      stage.end(sessid);
      stage.run(SECOND_MS);
      // The object is removed from memory whenever it is idle.
      if (sessid % 100 === 0) stage.start();
    }
    expect(stage.processed).toEqual(range(2, 10_000));
    const tries = stage.triesOf(1, begunMs);
    // In 2 h 46 min its schedule has five tries. Each but the last is followed by one that another's success has brought.
    expect(tries.length).toBeLessThanOrEqual(10);
    expect(tries.filter((ms) => ms > 0).length).toBeGreaterThan(4);
  });

  it("gets the time that Retry-After asks for, up to an hour, and so do all others", () => {
    const stage = startedStage();
    const beganMs = stage.nowMs + stage.readMs;
    stage.treat = (_, nowMs) => ({
      outcome: nowMs < beganMs + 10 * MINUTE_MS ? failed("429", 10 * MINUTE_MS) : failed("429", 24 * HOUR_MS),
      tookMs: 0,
    });
    stage.end(1);
    stage.run(SECOND_MS);
    stage.end(2);
    for (let restarts = 0; restarts < 180; restarts++) {
      stage.run(MINUTE_MS);
      stage.start();
    }
    const times = stage.requests.map(({ atMs }) => atMs - beganMs);
    const hours = [0, 1, 2].map((hour) => 10 * MINUTE_MS + hour * HOUR_MS);
    expect(times).toEqual([0, ...hours]);
  });
});

describe("a receiver that is down", () => {
  it("gets one request at a time until it takes one, then five", () => {
    const stage = startedStage();
    const endMs = stage.nowMs + 2 * MINUTE_MS;
    stage.treat = (_, nowMs) => ({ outcome: nowMs < endMs ? failed("timeout") : DELIVERED, tookMs: 15 * SECOND_MS });
    stage.end(...range(1, 50));
    stage.run(20 * SECOND_MS);
    expect(stage.requests.length).toBe(MAX_SENDING + 1);
    for (const _ of range(1, 20)) {
      expect(stage.underWay.size).toBe(1);
      stage.run(5 * SECOND_MS);
    }
    stage.mostUnderWay = 0;
    stage.run(HOUR_MS);
    expect(stage.mostUnderWay).toBe(MAX_SENDING);
    expect(stage.processed.toSorted((a, b) => a - b)).toEqual(range(1, 50));
  });

  it("gets everything within a minute after an hour, each session's ends in order", () => {
    const stage = startedStage();
    const endMs = stage.nowMs + HOUR_MS;
    stage.treat = (_, nowMs) => ({ outcome: nowMs < endMs ? failed("unreachable") : DELIVERED, tookMs: 1 });
    for (let number = 1; number <= 3000; number += 1) {
      stage.end(number % 1000);
      stage.run(SECOND_MS);
    }
    expect(stage.outbox?.status).toMatchObject({ state: "on", held: MAX_HELD, behind: true, lastError: "unreachable" });
    const inTheHour = stage.requests.length;
    // A hundred first tries, three more by the schedule of each, a probe each minute.
    expect(inTheHour).toBeLessThan(4 * MAX_HELD + 70);
    stage.run(endMs - stage.nowMs + MINUTE_MS + 2 * SECOND_MS);
    const { processed } = stage;
    expect(processed.length).toBe(3000);
    for (const session of range(0, 999)) {
      const numbers = processed.filter((number) => number % 1000 === session);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
    expect(stage.outbox?.status).toMatchObject({ state: "on", held: 0, behind: false, lastError: null });
    expect(stage.warnings).toEqual([
      "the receiver of webhooks fails: unreachable",
      "the receiver of webhooks takes messages again",
    ]);
  });

  it("is not sent more than 100 messages, and the log is not read any more", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: failed(), tookMs: 100 });
    stage.end(...range(1, 5000));
    stage.run(HOUR_MS);
    expect(new Set(stage.requests.map(({ id }) => id)).size).toBe(MAX_HELD);
    expect(stage.storage.held.size).toBe(MAX_HELD);
    expect(stage.storage.cursor).toBe(positionOf(MAX_HELD));
    const [reads, requests] = [stage.reads.length, stage.requests.length];
    for (let restarts = 0; restarts < 120; restarts++) {
      stage.run(30 * SECOND_MS);
      stage.start();
    }
    expect(stage.reads.length).toBe(reads);
    // A probe each minute, and the fourth try of each.
    expect(stage.requests.length - requests).toBeLessThanOrEqual(61 + MAX_HELD);
  });

  it("leaves the outbox behind until the log is read to its end, though fewer than 100 messages are still held", () => {
    const stage = startedStage();
    stage.readMs = 5;
    stage.treat = () => ({ outcome: failed(), tookMs: 1 });
    for (const sessid of range(1, 150)) {
      stage.end(sessid);
      stage.run(20);
    }
    expect(stage.storage.held.size).toBe(MAX_HELD);
    stage.treat = () => ({ outcome: DELIVERED, tookMs: 10 });
    while (stage.outbox?.status.behind) stage.run(1);
    expect(new Set(stage.requests.map(({ id }) => id)).size).toBe(150);
  });

  it("is found to be up although one of the 100 held messages fails by itself", () => {
    const stage = startedStage();
    let isUp = false;
    stage.treat = ({ sessid }) => ({ outcome: isUp && sessid !== 1 ? DELIVERED : failed(), tookMs: 1 });
    stage.end(...range(1, 1000));
    stage.run(HOUR_MS);
    isUp = true;
    stage.run(5 * MINUTE_MS);
    expect(stage.processed.toSorted((a, b) => a - b)).toEqual(range(2, 1000));
  });

  it("gets what failed at once when its address or secret has changed, by a schedule that begins anew", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: failed(), tookMs: 10 });
    stage.end(1, 2);
    stage.run(HOUR_MS);
    stage.stop();
    const renewedMs = stage.nowMs;
    stage.start({ isRenewed: true });
    stage.run(10 * SECOND_MS);
    for (const number of [1, 2]) {
      const tries = stage.triesOf(number, renewedMs).filter((atMs) => atMs >= 0);
      expect(tries[0]).toBeLessThan(SECOND_MS);
      expect(tries[1]).toBeGreaterThanOrEqual(5 * SECOND_MS);
    }
  });
});

describe("a receiver that answers 410", () => {
  it("gets no more, also after a restart, and there is no alarm and no read", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: GONE, tookMs: 10 });
    stage.end(1, 2, 3, 4, 5, 6, 7);
    stage.run(HOUR_MS);
    expect(stage.requests.length).toBe(MAX_SENDING);
    expect(stage.outbox?.status).toMatchObject({ state: "disabled", lastError: "410" });
    expect(stage.outbox?.wakeAt(stage.nowMs)).toBeNull();
    const reads = stage.reads.length;
    stage.start();
    stage.end(8);
    stage.run(HOUR_MS);
    expect(stage.requests.length).toBe(MAX_SENDING);
    expect(stage.reads.length).toBe(reads);
    expect(stage.warnings).toEqual(["the receiver of webhooks has answered 410, and gets no more"]);
  });

  it("gets what it missed when its address or secret has changed", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: GONE, tookMs: 10 });
    stage.end(1, 2, 2, 3);
    stage.run(HOUR_MS);
    stage.end(4);
    stage.treat = () => ({ outcome: DELIVERED, tookMs: 10 });
    stage.start({ isRenewed: true });
    stage.run(SECOND_MS);
    expect(stage.processed.toSorted((a, b) => a - b)).toEqual(range(1, 5));
    expect(stage.processed.indexOf(3)).toBeGreaterThan(stage.processed.indexOf(2));
    expect(stage.outbox?.status).toMatchObject({ state: "on", held: 0, behind: false, lastError: null });
  });
});

describe("a log that was trimmed", () => {
  it("is told as a gap, and the sender goes on from there", () => {
    const stage = startedStage();
    stage.end(1);
    stage.run(SECOND_MS);
    stage.stop();
    stage.end(2, 3, 4);
    stage.trimmed = 2;
    stage.start();
    stage.run(SECOND_MS);
    stage.end(5);
    stage.run(SECOND_MS);
    expect(stage.requests.map(({ id }) => id)).toEqual([1, 4, 5].map(positionOf));
    expect(JSON.parse(stage.requests[1]?.body ?? "")).toEqual({
      type: "session.events_lost",
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      data: { position: positionOf(4) },
    });
  });

  it("is told after the receiver was down for so long, by a message that is retried like others", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: failed(), tookMs: 1 });
    stage.end(...range(1, 200));
    stage.run(MINUTE_MS);
    stage.start();
    stage.trimmed = 150;
    stage.run(HOUR_MS);
    let lossTries = 0;
    stage.treat = ({ sessid }) => ({ outcome: sessid === null && ++lossTries < 3 ? failed() : DELIVERED, tookMs: 1 });
    stage.run(HOUR_MS);
    stage.end(201);
    stage.run(SECOND_MS);
    expect(stage.processed.toSorted((a, b) => a - b)).toEqual([...range(1, 100), 200, 201]);
    expect(lossTries).toBe(3);
  });
});

describe("a clock that is set back", () => {
  it("delays no retry and no read by more than they were away", () => {
    const stage = startedStage();
    stage.treat = () => ({ outcome: failed(), tookMs: 0 });
    stage.end(1);
    stage.run(6 * MINUTE_MS);
    stage.skewMs = -24 * HOUR_MS;
    // Any poke shows the new time: a write's, or the cron trigger's.
    stage.end(2);
    stage.treat = () => ({ outcome: DELIVERED, tookMs: 0 });
    stage.pokes = false;
    stage.end(3);
    stage.run(33 * MINUTE_MS);
    expect(stage.processed.toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
  });
});
