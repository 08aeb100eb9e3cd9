import { LeasedSessions, type LeasedSessionsOutput, type Lookup } from "../../../protocol/leases/leased-sessions.ts";
import type { LeasedSessionsLimits } from "../../../protocol/leases/session-memory.ts";
import type { Random } from "../random.ts";
import type { VirtualClock } from "../simulator/virtual-clock.ts";
import type { LeaseWitness } from "./lease-witness.ts";
import { type SimulatedHub, TO_BRIDGE, TO_HUB } from "./simulated-hub.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { LookedUp, SimulatedStore } from "./simulated-store.ts";
import type { SimulatedWire, WireEnd } from "./simulated-wire.ts";
import type { SimulatedWriter } from "./simulated-writer.ts";

export interface BridgeSetup {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly store: SimulatedStore;
  readonly writer: SimulatedWriter;
  readonly witness: LeaseWitness;
  /** The hub that a new connection reaches. */
  readonly findHub: () => SimulatedHub | undefined;
  readonly maxSessions: number;
}

/** A request of a game server. */
export interface GameRequest {
  readonly kind: "check" | "identify" | "delete";
  readonly sessid: number;
}

/** A game server's connection: its requests take effect, and are answered, in their order. */
export class GameConnection {
  /** Waiting, or under way: then it is the first. */
  readonly pending: GameRequest[] = [];
}

/** How often sessions that are due are looked up again. */
const DUE_INTERVAL_MS = 250;

/** A bridge: it answers from memory where it may, and asks the store otherwise. */
export class SimulatedBridge {
  readonly name: string;
  readonly process: SimulatedProcess;
  hits = 0;
  misses = 0;
  lapses = 0;
  connects = 0;
  protected readonly setup: BridgeSetup;
  protected readonly machine: LeasedSessions;
  #wire: SimulatedWire | undefined;
  #armedMs: number | undefined;

  constructor(setup: BridgeSetup, name: string) {
    this.setup = setup;
    this.name = name;
    this.process = new SimulatedProcess(setup.clock, setup.random);
    const limits = { maxSessions: setup.maxSessions, maxBytes: 1 << 20, maxKeepMs: 30_000 };
    this.machine = this.createMachine(limits, {
      send: (frame) => this.send(frame),
      answers: () => ({ answered: this.hits + this.misses, fromMemory: this.hits }),
      close: (code, reason) => {
        if (code === 1002) setup.witness.faults.push(`${name} calls a frame of the hub garbage: ${reason}`);
        this.#wire?.close(TO_BRIDGE);
        this.#redial();
      },
    });
    this.#dial();
    this.#lookUpDue();
  }

  /** The time of its clocks, as the machine reads them. */
  get nowMs(): number {
    return this.machine.timeAt(this.process.monotonicMs, Math.floor(this.process.wallMs));
  }

  readClocks(): void {
    void this.nowMs;
  }

  get wire(): SimulatedWire | undefined {
    return this.#wire;
  }

  get holdsLease(): boolean {
    return this.machine.holdsLease(this.nowMs);
  }

  /** The process is gone. The hub learns it after at most `noticeMs`. */
  kill(noticeMs: number): void {
    this.process.isDead = true;
    this.#wire?.cut(noticeMs);
  }

  /** A request has come on this connection. */
  request(connection: GameConnection, request: GameRequest): void {
    this.process.run(() => {
      if (request.kind !== "delete" && this.mayAnswer(connection) && this.#answer(connection, request)) return;
      connection.pending.push(request);
      if (connection.pending.length === 1) this.#ask(connection);
    }, true);
  }

  protected createMachine(limits: LeasedSessionsLimits, output: LeasedSessionsOutput): LeasedSessions {
    return new LeasedSessions(limits, output);
  }

  protected send(frame: Uint8Array): void {
    this.#wire?.send(TO_HUB, frame);
  }

  /** A frame of the hub has come. */
  protected received(frame: Uint8Array): void {
    this.machine.received(frame, this.nowMs);
  }

  protected mayAnswer(connection: GameConnection): boolean {
    return connection.pending.length === 0;
  }

  protected begin(): Lookup | undefined {
    return this.machine.begin(this.nowMs);
  }

  /** Takes the store's answer to a lookup. */
  protected keep(lookup: Lookup | undefined, { kind, sessid }: GameRequest, found: LookedUp): void {
    const { nowMs } = this;
    if (found.kind === "notFound") this.machine.invalidate(sessid, nowMs);
    else if (lookup !== undefined && found.keepMs > 0) {
      // A plain check does not tell the state; what the memory has of it stays.
      const user = kind === "identify" ? found.state.id : null;
      this.machine.put(lookup, { sessid, keepMs: found.keepMs, user, secret: null, grants: null }, nowMs);
    }
  }

  /** What the memory says; undefined: the store must be asked. */
  protected find(sessid: number): { readonly user: string | null } | undefined {
    return this.machine.get(sessid, this.nowMs);
  }

  protected answered(sessid: number, user: string | null): void {
    this.setup.witness.answersOk(this.name, sessid, user);
  }

  #answer(connection: GameConnection, { kind, sessid }: GameRequest): boolean {
    const kept = this.find(sessid);
    if (kept === undefined || (kind === "identify" && kept.user === null)) {
      this.misses += 1;
      return false;
    }
    this.hits += 1;
    this.answered(sessid, kept.user);
    if (connection.pending.some((pending) => pending.kind === "delete" && pending.sessid === sessid)) {
      this.setup.witness.overtakes(this.name, sessid);
    }
    return true;
  }

  #ask(connection: GameConnection): void {
    const [request] = connection.pending;
    if (request === undefined) return;
    const next = () => {
      connection.pending.shift();
      this.#ask(connection);
    };
    if (request.kind === "delete") this.#delete(request.sessid, next);
    else this.#lookUp(request, next);
  }

  #delete(sessid: number, done: () => void): void {
    this.machine.invalidate(sessid, this.nowMs);
    this.setup.writer.write({ kind: "delete", sessid }, () =>
      this.process.run(() => {
        this.machine.invalidate(sessid, this.nowMs);
        done();
      }),
    );
  }

  #lookUp(request: GameRequest, done: () => void): void {
    const { store } = this.setup;
    const lookup = this.begin();
    store.request(
      this.process,
      () => this.lookUpAt(store, request.sessid),
      (found) => {
        if (found !== undefined) this.keep(lookup, request, found);
        done();
      },
    );
  }

  /** Asks the primary. */
  protected lookUpAt(store: SimulatedStore, sessid: number): LookedUp {
    return store.lookUp(sessid);
  }

  #lookUpDue(): void {
    this.process.in(DUE_INTERVAL_MS, () => {
      for (const sessid of this.machine.takeDue(this.nowMs)) this.#lookUp({ kind: "check", sessid }, () => {});
      this.#lookUpDue();
    });
  }

  #dial(): void {
    const hub = this.setup.findHub();
    if (hub === undefined) {
      this.#redial();
      return;
    }
    const end: WireEnd = {
      process: this.process,
      received: (frame) => {
        if (this.#wire !== wire) return;
        this.received(frame);
        this.#arm();
      },
      ended: () => {
        if (this.#wire !== wire) return;
        this.machine.disconnected();
        this.#redial();
      },
    };
    const wire = hub.accept(end);
    this.#wire = wire;
    this.connects += 1;
    this.machine.connected(this.nowMs);
    this.#arm();
  }

  #redial(): void {
    this.#wire = undefined;
    this.process.in(this.setup.random.integer(20, 500), () => this.#dial());
  }

  #arm(): void {
    const { deadlineMs } = this.machine;
    if (deadlineMs === undefined || this.#armedMs === deadlineMs) return;
    this.#armedMs = deadlineMs;
    // At least a little: a delay that is rounded to nothing would make time stand still.
    this.process.in(Math.max(0.01, deadlineMs - this.nowMs), () => {
      this.#armedMs = undefined;
      const { nowMs } = this;
      if (!this.machine.holdsLease(nowMs)) this.lapses += 1;
      this.machine.tick(nowMs);
      this.#arm();
    });
  }
}
