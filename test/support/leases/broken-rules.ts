import type { Reach } from "../../../protocol/leases/bridge-acks.ts";
import { type HubOutput, LeaseHub } from "../../../protocol/leases/lease-hub.ts";
import { decodeBridgeMessage, decodeHubMessage, encodeLeaseMessage } from "../../../protocol/leases/lease-messages.ts";
import { LeasedSessions, type LeasedSessionsOutput, type Lookup } from "../../../protocol/leases/leased-sessions.ts";
import type { LeasedSessionsLimits } from "../../../protocol/leases/session-memory.ts";
import { type Parts, SOUND_PARTS } from "./lease-scenario.ts";
import { type GameRequest, SimulatedBridge } from "./simulated-bridge.ts";
import { SimulatedHub } from "./simulated-hub.ts";
import type { LookedUp, SimulatedStore } from "./simulated-store.ts";
import type { SimulatedWire, WireEnd } from "./simulated-wire.ts";
import { SimulatedWriter } from "./simulated-writer.ts";

/** A part that breaks one rule of docs/architecture.md, "Leases", and the fault that it must lead to. */
export interface BrokenRule {
  readonly rule: number;
  readonly what: string;
  readonly fault: RegExp;
  readonly parts: Parts;
}

const STALE = /Ok by the old state/;
const EXPIRED = /after it expired/;
const SLOW = /a write took .* in the calm/;

class TrustsTheMonotonicClock extends SimulatedBridge {
  override get nowMs(): number {
    return this.machine.timeAt(this.process.monotonicMs, this.process.monotonicMs);
  }
}

class CountsFromTheGrant extends SimulatedBridge {
  #renewal = 0;

  protected override send(frame: Uint8Array): void {
    const message = decodeBridgeMessage(frame);
    if (message.kind === "renew") this.#renewal = message.renewal;
    super.send(frame);
  }

  protected override received(frame: Uint8Array): void {
    const isGrant = decodeHubMessage(frame).kind === "granted";
    super.received(isGrant ? encodeLeaseMessage({ kind: "granted", renewal: this.#renewal }) : frame);
  }
}

class IgnoresTheLease extends SimulatedBridge {
  #heldMs = 0;

  protected override find(sessid: number): { readonly user: string | null } | undefined {
    if (this.holdsLease) this.#heldMs = this.nowMs;
    return this.machine.get(sessid, this.#heldMs);
  }
}

class GrantsWithoutARead extends SimulatedHub {
  protected override read(after: string | null, leaseMs: number | null): void {
    if (after === null || leaseMs === null) super.read(after, leaseMs);
    else {
      const page = { kind: "events", events: [], position: after, more: false } as const;
      this.process.in(1, () => this.machine.readDone(page, this.nowMs));
    }
  }
}

class GrantsOvertakeChanges extends SimulatedHub {
  readonly #ends = new Map<SimulatedWire, WireEnd>();

  override accept(end: WireEnd): SimulatedWire {
    const wire = super.accept(end);
    this.#ends.set(wire, end);
    return wire;
  }

  protected override send(wire: SimulatedWire, frame: Uint8Array): void {
    const end = this.#ends.get(wire);
    if (decodeHubMessage(frame).kind !== "granted") super.send(wire, frame);
    else this.setup.clock.in(this.setup.latencyMs, () => end?.process.run(() => end.received(frame)));
  }
}

class NeverWaits extends SimulatedWriter {
  protected override wait(_leases: ReadonlyMap<string, number>, done: () => void): void {
    done();
  }
}

class WaitsForOneHub extends SimulatedWriter {
  protected override wait(leases: ReadonlyMap<string, number>, done: () => void): void {
    super.wait(new Map([...leases].slice(0, 1)), done);
  }
}

class BeginsWhenAnswered extends SimulatedBridge {
  protected override keep(_lookup: Lookup | undefined, request: GameRequest, found: LookedUp): void {
    super.keep(this.begin(), request, found);
  }
}

class KeepsForTooLong extends SimulatedBridge {
  protected override keep(lookup: Lookup | undefined, request: GameRequest, found: LookedUp): void {
    super.keep(lookup, request, found.kind === "ok" ? { ...found, keepMs: 30_000 } : found);
  }
}

class AsksAReplica extends SimulatedBridge {
  readonly #copies = new Map<number, { readonly found: LookedUp; readonly copiedMs: number }>();

  protected override lookUpAt(store: SimulatedStore, sessid: number): LookedUp {
    const copy = this.#copies.get(sessid);
    if (copy !== undefined && store.nowMs - copy.copiedMs < 100) return copy.found;
    const found = super.lookUpAt(store, sessid);
    this.#copies.set(sessid, { found, copiedMs: store.nowMs });
    return found;
  }
}

class KeepsNotFound extends SimulatedBridge {
  protected override keep(lookup: Lookup | undefined, request: GameRequest, found: LookedUp): void {
    if (found.kind === "ok" || lookup === undefined) super.keep(lookup, request, found);
    else {
      const { sessid } = request;
      this.machine.put(lookup, { sessid, keepMs: 5_000, user: "nobody", secret: null, grants: null }, this.nowMs);
    }
  }

  protected override answered(sessid: number, user: string | null): void {
    if (user === "nobody") this.setup.witness.answersNotFound(this.name, sessid);
    else super.answered(sessid, user);
  }
}

class AnswersOutOfOrder extends SimulatedBridge {
  protected override mayAnswer(): boolean {
    return true;
  }
}

class IgnoresResets extends SimulatedBridge {
  protected override received(frame: Uint8Array): void {
    const message = decodeHubMessage(frame);
    const { number } = { number: 0, ...message };
    super.received(message.kind === "reset" ? encodeLeaseMessage({ kind: "changes", number, sessids: [] }) : frame);
  }
}

/** Takes all its connections for one: it renumbers what the hub sends on the later ones, and maps the acks back. */
class ForgetsNothingWhenCutOff extends SimulatedBridge {
  #isWelcome = false;
  #changes = 0;
  readonly #numbers: number[] = [];

  protected override createMachine(limits: LeasedSessionsLimits, output: LeasedSessionsOutput): LeasedSessions {
    return new (class extends LeasedSessions {
      #isConnected = false;

      override connected(nowMs: number): void {
        if (!this.#isConnected) super.connected(nowMs);
        this.#isConnected = true;
      }

      override disconnected(): void {
        if (!this.#isConnected) super.disconnected();
      }
    })(limits, output);
  }

  protected override send(frame: Uint8Array): void {
    const message = decodeBridgeMessage(frame);
    const number = message.kind === "ack" ? this.#numbers.shift() : undefined;
    super.send(number === undefined ? frame : encodeLeaseMessage({ kind: "ack", number }));
  }

  protected override received(frame: Uint8Array): void {
    const message = decodeHubMessage(frame);
    if (message.kind === "welcome") {
      if (!this.#isWelcome) super.received(frame);
      this.#isWelcome = true;
    } else if (message.kind === "granted" || message.kind === "statusRequest") super.received(frame);
    else {
      this.#changes += 1;
      this.#numbers.push(message.number);
      super.received(encodeLeaseMessage({ ...message, number: this.#changes }));
    }
  }
}

class WaitsForTheGoneForEver extends SimulatedHub {
  protected override createMachine(output: HubOutput<SimulatedWire>): LeaseHub<SimulatedWire> {
    return new (class extends LeaseHub<SimulatedWire> {
      #isOneGone = false;

      override disconnected(bridge: SimulatedWire, nowMs: number): void {
        this.#isOneGone = true;
        super.disconnected(bridge, nowMs);
      }

      override acknowledged(done: (reach: Reach | null) => void, nowMs: number): void {
        super.acknowledged((reach) => this.#isOneGone || done(reach), nowMs);
      }
    })(this.setup.boundMs, output, this.setup.limits);
  }
}

class AsksNoHub extends SimulatedWriter {
  protected override reachHub(): undefined {
    return undefined;
  }
}

class NeverAnswersFromMemory extends SimulatedBridge {
  protected override find(): undefined {
    return undefined;
  }
}

/** Breaks no rule, and is of no use. */
export const NEVER_FROM_MEMORY = bridge(
  0,
  "no bridge answers from memory",
  /hits and .* in the calm/,
  NeverAnswersFromMemory,
);

export const BROKEN_RULES: readonly BrokenRule[] = [
  bridge(1, "a bridge trusts its monotonic clock alone", STALE, TrustsTheMonotonicClock),
  bridge(
    1,
    "a bridge counts a lease from the newest renewal, not from the one that was granted",
    STALE,
    CountsFromTheGrant,
  ),
  bridge(1, "a bridge answers from memory without a lease", STALE, IgnoresTheLease),
  hub(2, "a hub grants without a read of the log", STALE, GrantsWithoutARead),
  hub(2, "a hub's grants overtake its changes", STALE, GrantsOvertakeChanges),
  writer(3, "a worker answers at once", STALE, NeverWaits),
  writer(3, "a worker waits for one hub of two", STALE, WaitsForOneHub),
  bridge(4, "a bridge begins its lookups when they are answered", STALE, BeginsWhenAnswered),
  bridge(4, "a bridge keeps sessions for 30 s, whatever the edge says", EXPIRED, KeepsForTooLong),
  bridge(4, "a bridge is answered by a replica", STALE, AsksAReplica),
  bridge(5, "a bridge keeps NotFound", /NotFound after its register was answered/, KeepsNotFound),
  bridge(6, "a bridge answers from memory while its connection waits", /before the delete/, AnswersOutOfOrder),
  bridge(7, "a bridge ignores a Reset", STALE, IgnoresResets),
  bridge(7, "a bridge keeps sessions when its connection is lost", STALE, ForgetsNothingWhenCutOff),
  hub(8, "a hub waits for ever for a bridge that is gone", SLOW, WaitsForTheGoneForEver),
  writer(8, "a worker waits for the leases, not for the acks", SLOW, AsksNoHub),
];

function bridge(rule: number, what: string, fault: RegExp, Bridge: Parts["Bridge"]): BrokenRule {
  return { rule, what, fault, parts: { ...SOUND_PARTS, Bridge } };
}

function hub(rule: number, what: string, fault: RegExp, Hub: Parts["Hub"]): BrokenRule {
  return { rule, what, fault, parts: { ...SOUND_PARTS, Hub } };
}

function writer(rule: number, what: string, fault: RegExp, Writer: Parts["Writer"]): BrokenRule {
  return { rule, what, fault, parts: { ...SOUND_PARTS, Writer } };
}
