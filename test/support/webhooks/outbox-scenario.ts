import { MAX_HELD, MAX_SENDING, RETRY_DELAYS_MS } from "../../../worker/webhooks/webhook-outbox.ts";
import { seededRandom } from "../random.ts";
import {
  DELIVERED,
  failed,
  MemoryOutboxStorage,
  numberOf,
  OutboxStage,
  positionOf,
  type Treatment,
} from "./outbox-stage.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** In which messages that always fail are given up. */
const LONGEST_END_MS = 8 * 24 * HOUR_MS;

/** What a scenario came to, and where the outbox broke its promise. */
export interface OutboxReport {
  readonly faults: readonly string[];
  readonly ends: number;
  readonly retries: number;
  readonly restarts: number;
  readonly givenUp: number;
  readonly losses: number;
  readonly mostHeld: number;
}

/**
 * An outbox in trouble, all of it drawn by the seed: sessions end, the receiver fails at random, is down for hours, hangs, asks for a
 * pause, processes what it then says has failed; some sessions' messages always fail; the object is restarted at any moment, the
 * store does not respond, pokes are lost, the log is trimmed, the clock is set. Then all is well, until nothing is left to send.
 */
export function runOutboxScenario(seed: number, storage = new MemoryOutboxStorage()): OutboxReport {
  const random = seededRandom(seed);
  const stage = new OutboxStage({ storage, random: random.next });
  const faults: string[] = [];
  const sessions = random.integer(1, 60);
  const hasTrims = random.chance(0.3);
  /** The number of an end whose message always fails. */
  const poisoned = random.chance(0.1) ? random.integer(1, 50) : undefined;
  const failureRate = random.chance(0.5) ? random.next() * 0.5 : 0;
  let isDown = false;
  let isOver = false;
  let restarts = 0;
  let mostHeld = 0;
  stage.treat = ({ id, sessid }): Treatment => {
    mostHeld = Math.max(mostHeld, storage.held.size);
    if (stage.underWay.size >= MAX_SENDING) faults.push(`${stage.underWay.size} messages were under way`);
    if ([...stage.underWay.values()].includes(sessid)) faults.push(`two messages of session ${sessid} were under way`);
    const tookMs = random.integer(0, 300);
    const isBad = (sessid !== null && numberOf(id) === poisoned) || (!isOver && (isDown || random.chance(failureRate)));
    if (!isBad) return { outcome: DELIVERED, tookMs };
    const isProcessed = random.chance(0.1);
    if (random.chance(0.1)) return { outcome: failed("timeout"), tookMs: 15 * SECOND_MS, isProcessed };
    return { outcome: failed("503", random.chance(0.05) ? random.integer(1, HOUR_MS) : null), tookMs, isProcessed };
  };
  stage.start();
  stage.run(SECOND_MS);
  const steps = random.integer(5, 40);
  for (let step = 0; step < steps; step++) {
    const ends = random.chance(0.1) ? random.integer(0, 250) : random.integer(0, 5);
    stage.end(...Array.from({ length: ends }, () => random.integer(1, sessions)));
    const [shortest, longest] = random.chance(0.2) ? [MINUTE_MS, HOUR_MS] : [0, 30 * SECOND_MS];
    stage.run(random.integer(shortest, longest));
    if (random.chance(0.2)) isDown = !isDown;
    if (random.chance(0.1)) stage.isStoreDown = !stage.isStoreDown;
    if (random.chance(0.1)) stage.pokes = !stage.pokes;
    if (random.chance(0.05)) stage.skewMs = random.integer(-HOUR_MS, HOUR_MS);
    if (hasTrims && random.chance(0.1)) stage.trimmed = random.integer(stage.trimmed, stage.log.length);
    if (random.chance(0.3)) {
      restarts += 1;
      if (random.chance(0.5)) stage.start();
      else stage.stop();
    }
  }
  isOver = true;
  stage.isStoreDown = false;
  stage.clock.run(stage.clock.nowMs + LONGEST_END_MS, () => isSettled(stage));
  faults.push(...brokenPromises(stage));
  if (mostHeld > MAX_HELD) faults.push(`${mostHeld} messages were held`);
  return {
    faults,
    ends: stage.log.length,
    retries: stage.requests.length - stage.processed.length,
    restarts,
    givenUp: stage.givenUp.length,
    losses: stage.requests.filter(({ sessid }) => sessid === null).length,
    mostHeld,
  };
}

function isSettled({ outbox, storage, underWay, log }: OutboxStage): boolean {
  if (outbox === undefined || storage.held.size > 0 || underWay.size > 0) return false;
  return storage.cursor === positionOf(log.length) && !outbox.status.behind;
}

/** Every end is delivered, or given up after its schedule, or inside a gap that was told; and each session's first deliveries are in order. */
function brokenPromises(stage: OutboxStage): string[] {
  const faults: string[] = [];
  const messages = stage.requests.filter(({ isProcessed }) => isProcessed);
  const told = messages.filter(({ sessid }) => sessid === null).map(({ id }) => numberOf(id));
  const ends = messages.filter(({ sessid }) => sessid !== null).map(({ id }) => numberOf(id));
  const processed = new Set(ends);
  const givenUp = new Set(stage.givenUp);
  const gapEnd = Math.max(0, ...told);
  for (const [index, sessid] of stage.log.entries()) {
    const number = index + 1;
    const isLost = number <= gapEnd;
    if (!processed.has(number) && !givenUp.has(number) && !isLost) faults.push(`end ${number} of ${sessid} never came`);
    if (givenUp.has(number) && stage.triesOf(number).length <= RETRY_DELAYS_MS.length) {
      faults.push(`end ${number} was given up after ${stage.triesOf(number).length} tries`);
    }
  }
  const last = new Map<number, number>();
  for (const number of processed) {
    const sessid = stage.log[number - 1] ?? 0;
    const before = last.get(sessid) ?? 0;
    if (number < before) faults.push(`end ${number} of ${sessid} came after ${before}`);
    last.set(sessid, Math.max(before, number));
  }
  const { status } = stage.outbox ?? {};
  if (status?.held !== 0 || status.behind) faults.push(`in the end the status is ${JSON.stringify(status)}`);
  return faults;
}
