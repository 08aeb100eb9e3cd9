import { DEFAULT_HUB_LIMITS } from "../../../protocol/leases/lease-hub.ts";
import { type Random, seededRandom } from "../random.ts";
import { VirtualClock } from "../simulator/virtual-clock.ts";
import { LeaseWitness } from "./lease-witness.ts";
import { GameConnection, type GameRequest, SimulatedBridge } from "./simulated-bridge.ts";
import { type HubSetup, SimulatedHub } from "./simulated-hub.ts";
import { SimulatedStore, type Write } from "./simulated-store.ts";
import { SimulatedWriter } from "./simulated-writer.ts";

/** How long the trouble lasts, in virtual time; how soon a broken connection is noticed; and how long the calm lasts after it. */
const TROUBLE_MS = 6_000;
const NOTICE_MS = 2_000;
const CALM_MS = 2_000;

/** More sessions than their users may have, so that registers evict. */
const SESSIDS = 12;

/** Beyond a bound, an answered write takes as long as two attempts and the calls around them. */
const WRITE_TIME_MS = 2_500;

/** The parts of a scenario. Those that break a rule put their own in place of one. */
export interface Parts {
  readonly Bridge: typeof SimulatedBridge;
  readonly Hub: typeof SimulatedHub;
  readonly Writer: typeof SimulatedWriter;
}

export const SOUND_PARTS: Parts = { Bridge: SimulatedBridge, Hub: SimulatedHub, Writer: SimulatedWriter };

/** The result of a scenario. */
export interface LeaseReport {
  /** The violations of the promise. */
  readonly faults: readonly string[];
  /** Answers from memory while things fail, and afterwards. */
  readonly troubledHits: number;
  readonly calmHits: number;
  /** Times at which a bridge had no lease. */
  readonly lapses: number;
  readonly connects: number;
  /** Messages that told a bridge to forget everything. */
  readonly resets: number;
  /** Bridges that a hub closed because they left too much unacked. */
  readonly closes: number;
  /** Writes that waited for a lease to run out. */
  readonly longWaits: number;
}

/** Runs the scenario of a seed. The same seed gives the same scenario. */
export function runLeaseScenario(seed: number, parts: Parts = SOUND_PARTS): LeaseReport {
  return new LeaseScenario(seed, parts).run();
}

class LeaseScenario {
  readonly #parts: Parts;
  readonly #clock = new VirtualClock();
  readonly #random: Random;
  readonly #boundMs: number;
  readonly #store: SimulatedStore;
  readonly #witness: LeaseWitness;
  readonly #writer: SimulatedWriter;
  readonly #bridges: SimulatedBridge[];
  readonly #hubSetup: HubSetup;
  readonly #everyHub: SimulatedHub[] = [];
  #isCalm = false;

  constructor(seed: number, parts: Parts) {
    const clock = this.#clock;
    const random = seededRandom(seed);
    const boundMs = [200, 500, 1000, 1000, 3000][random.integer(0, 4)] ?? 0;
    // An ack takes a few of them, and must come long before the bound.
    const latencyMs = () => 0.1 + random.next() * Math.min(10, boundMs / 80);
    this.#parts = parts;
    this.#random = random;
    this.#boundMs = boundMs;
    const store = new SimulatedStore(clock, random, latencyMs());
    this.#store = store;
    this.#witness = new LeaseWitness(clock, store, boundMs);
    const pageEvents = random.chance(0.3) ? random.integer(1, 4) : 1000;
    const maxChanges = random.chance(0.3) ? random.integer(1, 8) : 10_000;
    // So few that a bridge which stands still is closed for them; a page at a time would need more.
    const maxUnackedMessages = pageEvents === 1000 && random.chance(0.3) ? random.integer(3, 8) : 1024;
    const limits = { ...DEFAULT_HUB_LIMITS, maxChanges, maxUnackedMessages };
    this.#hubSetup = { clock, random, store, boundMs, latencyMs: latencyMs(), pageEvents, limits };
    this.#startHub();
    const findHub = () => (random.chance(store.lossRate) ? undefined : this.#findHub());
    this.#writer = new parts.Writer({ clock, random, store, findHub });
    const maxSessions = random.chance(0.2) ? 4 : 100;
    const setup = { clock, random, store, writer: this.#writer, witness: this.#witness, findHub, maxSessions };
    this.#bridges = Array.from({ length: random.integer(1, 4) }, (_, index) => new parts.Bridge(setup, `b${index}`));
  }

  run(): LeaseReport {
    for (let sessid = 1; sessid <= SESSIDS; sessid++) this.#write({ kind: "register", sessid });
    for (const bridge of this.#bridges) for (let game = 0; game < 2; game++) this.#play(bridge, new GameConnection());
    this.#writeNow();
    this.#startTrouble();
    this.#clock.run(TROUBLE_MS);
    const troubledHits = this.#witness.hits;
    this.#heal();
    this.#clock.run(TROUBLE_MS + NOTICE_MS + 1000 + 2 * this.#boundMs);
    const longWaits = this.#writer.answered.filter((write) => write.answeredMs - write.takenMs > this.#boundMs / 2);
    const calmHits = this.#beCalm();
    const total = (counts: number[]) => counts.reduce((sum, count) => sum + count, 0);
    return {
      faults: [...this.#witness.faults, ...this.#findSlowWrites()],
      troubledHits,
      calmHits,
      lapses: total(this.#bridges.map(({ lapses }) => lapses)),
      connects: total(this.#bridges.map(({ connects }) => connects)),
      resets: total(this.#everyHub.map(({ resets }) => resets)),
      closes: total(this.#everyHub.map(({ closes }) => closes)),
      longWaits: longWaits.length,
    };
  }

  /** A game server asks without end. */
  #play(bridge: SimulatedBridge, connection: GameConnection): void {
    const random = this.#random;
    this.#clock.in(random.integer(5, 120), () => {
      // Some requests are sent together; none while many are not answered.
      const count = connection.pending.length > 8 ? 0 : random.chance(0.2) ? 3 : 1;
      for (let more = count; more > 0; more--) {
        bridge.request(connection, { kind: this.#requestKind(), sessid: random.integer(1, SESSIDS) });
        if (random.chance(this.#isCalm ? 0 : 0.02)) this.#deleteAndCheck(bridge, connection);
      }
      if (!bridge.process.isDead) this.#play(bridge, connection);
    });
  }

  #requestKind(): GameRequest["kind"] {
    return this.#random.chance(0.3) ? "identify" : "check";
  }

  #deleteAndCheck(bridge: SimulatedBridge, connection: GameConnection): void {
    const sessid = this.#random.integer(1, SESSIDS);
    bridge.request(connection, { kind: "delete", sessid });
    bridge.request(connection, { kind: "check", sessid });
  }

  /** Other callers of the worker write without end. */
  #writeNow(): void {
    const random = this.#random;
    this.#clock.in(random.integer(10, 300), () => {
      const sessid = random.integer(1, SESSIDS);
      const kind = random.integer(0, 99);
      if (kind < 75) this.#write({ kind: "register", sessid });
      else if (kind < 88) this.#write({ kind: "delete", sessid });
      else if (kind < 98 || this.#isCalm) this.#write({ kind: "change", sessid });
      else this.#write({ kind: "endAll" });
      this.#writeNow();
    });
  }

  /** Once it is answered, every bridge is asked: none may answer by the old state. */
  #write(write: Write): void {
    this.#writer.write(write, (isAnswered) => {
      if (!isAnswered || write.kind === "endAll") return;
      for (const bridge of this.#bridges) {
        for (const kind of ["check", "identify"] as const) {
          const request = { kind, sessid: write.sessid };
          this.#clock.in(this.#random.next() * 20, () => bridge.request(new GameConnection(), request));
        }
      }
    });
  }

  #startTrouble(): void {
    const random = this.#random;
    this.#store.lossRate = random.chance(0.4) ? random.next() * 0.1 : 0;
    this.#store.slowRate = random.chance(0.4) ? random.next() * 0.1 : 0;
    for (let fault = random.integer(0, 10); fault > 0; fault--) {
      this.#clock.at(random.integer(0, TROUBLE_MS), () => this.#breakSomething());
    }
  }

  #breakSomething(): void {
    const random = this.#random;
    const bridge = this.#pick(this.#bridges);
    const hub = this.#findHub();
    const wire = bridge?.wire;
    const forMs = random.chance(0.5) ? random.integer(10, this.#boundMs) : random.integer(10, 4_000);
    const kind = random.integer(0, 99);
    if (kind < 14) wire?.cut(random.chance(0.5) ? 10 : NOTICE_MS);
    else if (kind < 21) {
      wire?.stall();
      this.#clock.in(forMs, () => wire?.resume());
    } else if (kind < 28) wire?.slowDown(Math.min(forMs, NOTICE_MS));
    else if (kind < 52) this.#stop(bridge, kind < 40, forMs);
    else if (kind < 60) this.#setWallClock(bridge);
    else if (kind < 66) this.#killBridge(bridge);
    else if (kind < 74) {
      hub?.kill(random.chance(0.5) ? 10 : NOTICE_MS);
      this.#clock.in(random.integer(0, 1_500), () => this.#startHub());
    } else if (kind < 80) {
      // The bridges of the old hub stay there, until it goes.
      this.#startHub();
      this.#clock.in(forMs, () => this.#isCalm || hub?.kill(NOTICE_MS));
    } else if (kind < 86) {
      hub?.process.stop(false);
      this.#clock.in(forMs, () => hub?.process.resume());
    } else if (kind < 92) this.#store.fail(forMs);
    else this.#store.trimLog(random.integer(0, 2));
  }

  #stop(bridge: SimulatedBridge | undefined, suspends: boolean, forMs: number): void {
    bridge?.process.stop(suspends);
    this.#clock.in(forMs, () => bridge?.process.resume());
  }

  /** The bridge reads its clocks between this and a suspension: two changes that hide each other cannot be noticed. */
  #setWallClock(bridge: SimulatedBridge | undefined): void {
    if (bridge === undefined || bridge.process.isStopped) return;
    bridge.process.setWallClock(this.#random.integer(-5_000, 5_000));
    bridge.readClocks();
  }

  /** At least one bridge lives on. */
  #killBridge(bridge: SimulatedBridge | undefined): void {
    if (this.#bridges.filter(({ process }) => !process.isDead).length > 1) bridge?.kill(NOTICE_MS);
  }

  #heal(): void {
    this.#isCalm = true;
    this.#store.heal();
    for (const { process, wire } of this.#bridges) {
      process.resume();
      wire?.resume();
    }
    for (const { process } of this.#everyHub) process.resume();
    const living = this.#everyHub.filter(({ process }) => !process.isDead);
    for (const hub of living.slice(1)) hub.kill(NOTICE_MS);
  }

  /** Nothing fails: bridges answer from memory, and writes are answered long before the bound. Returns the hits. */
  #beCalm(): number {
    const startMs = this.#clock.nowMs;
    const living = this.#bridges.filter(({ process }) => !process.isDead);
    const before = living.map(({ hits, misses }) => ({ hits, misses }));
    this.#clock.run(startMs + CALM_MS);
    const { faults } = this.#witness;
    for (const [index, { name, hits, misses }] of living.entries()) {
      const calmHits = hits - (before[index]?.hits ?? 0);
      const calmMisses = misses - (before[index]?.misses ?? 0);
      // A memory of 4 sessions answers few.
      if (calmHits < calmMisses / 20 || calmHits + calmMisses < 10)
        faults.push(`${name}: ${calmHits} hits and ${calmMisses} misses in the calm`);
    }
    for (const { beganMs, answeredMs } of this.#writer.answered) {
      const tookMs = answeredMs - beganMs;
      if (beganMs >= startMs && tookMs > this.#boundMs / 2) faults.push(`a write took ${tookMs} ms in the calm`);
    }
    return living.reduce((sum, { hits }, index) => sum + hits - (before[index]?.hits ?? 0), 0);
  }

  #findSlowWrites(): string[] {
    // The clock by which the worker waits may be slow.
    const mostMs = this.#boundMs * 1.05 + WRITE_TIME_MS;
    return this.#writer.answered
      .filter(({ beganMs, answeredMs }) => answeredMs - beganMs > mostMs)
      .map(({ beganMs, answeredMs }) => `a write took ${answeredMs - beganMs} ms`);
  }

  #startHub(): void {
    if (this.#isCalm && this.#findHub() !== undefined) return;
    this.#everyHub.push(new this.#parts.Hub(this.#hubSetup, this.#everyHub.length + 1));
  }

  #findHub(): SimulatedHub | undefined {
    return this.#pick(this.#everyHub.filter(({ process }) => !process.isDead));
  }

  #pick<T>(choices: readonly T[]): T | undefined {
    return choices[this.#random.integer(0, Math.max(0, choices.length - 1))];
  }
}
