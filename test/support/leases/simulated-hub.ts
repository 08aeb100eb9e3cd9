import { type HubLimits, type HubOutput, LeaseHub } from "../../../protocol/leases/lease-hub.ts";
import { decodeHubMessage } from "../../../protocol/leases/lease-messages.ts";
import type { Random } from "../random.ts";
import type { VirtualClock } from "../simulator/virtual-clock.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { SimulatedStore } from "./simulated-store.ts";
import { SimulatedWire, type WireEnd } from "./simulated-wire.ts";

/** The end of a wire at the bridge, and at the hub. */
export const TO_BRIDGE = 0;
export const TO_HUB = 1;

export interface HubSetup {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly store: SimulatedStore;
  readonly boundMs: number;
  readonly latencyMs: number;
  /** How many events a page of the log has. */
  readonly pageEvents: number;
  readonly limits: HubLimits;
}

/** An instance of the hub: a Durable Object with the sockets of the bridges. */
export class SimulatedHub {
  readonly token: string;
  readonly process: SimulatedProcess;
  resets = 0;
  closes = 0;
  protected readonly setup: HubSetup;
  protected readonly machine: LeaseHub<SimulatedWire>;
  readonly #wires = new Set<SimulatedWire>();

  constructor(setup: HubSetup, number: number) {
    this.setup = setup;
    this.token = `hub-${number}`;
    this.process = new SimulatedProcess(setup.clock, setup.random);
    this.machine = this.createMachine({
      send: (wire, frame) => this.send(wire, frame),
      close: (wire, code, reason) => {
        if (code === 1002 || code === 1003) throw new Error(`the hub calls a bridge's frame garbage: ${reason}`);
        this.closes += 1;
        this.#wires.delete(wire);
        wire.close(TO_HUB);
      },
      read: ({ after, leaseMs }) => this.read(after, leaseMs),
    });
  }

  get nowMs(): number {
    return this.process.monotonicMs;
  }

  get wires(): readonly SimulatedWire[] {
    return [...this.#wires];
  }

  /** A bridge connects; `end` is its end of the wire. */
  accept(end: WireEnd): SimulatedWire {
    const { clock, random, latencyMs } = this.setup;
    const own: WireEnd = {
      process: this.process,
      received: (frame) => {
        this.machine.received(wire, frame, this.nowMs);
        this.#tickLater();
      },
      ended: () => {
        this.#wires.delete(wire);
        this.machine.disconnected(wire, this.nowMs);
        this.#tickLater();
      },
    };
    const wire = new SimulatedWire(clock, random, latencyMs, [end, own]);
    this.#wires.add(wire);
    this.process.run(() => this.machine.connected(wire, true));
    return wire;
  }

  /** The instance is gone, with its memory. The bridges learn it after at most `noticeMs`. */
  kill(noticeMs: number): void {
    this.process.isDead = true;
    for (const wire of this.#wires) wire.cut(noticeMs);
  }

  /** The call of a worker: `done` with the hub's token once it is acknowledged, with undefined if that failed; never if the hub dies. */
  acknowledged(done: (token: string | undefined) => void): void {
    const { clock, random, latencyMs } = this.setup;
    const delayMs = () => latencyMs * (1 + random.next());
    clock.in(delayMs(), () =>
      this.process.run(() => {
        // Somebody who looks at the bridges changes nothing.
        this.machine.requestStatus(() => {});
        this.machine.acknowledged((reach) => {
          clock.in(delayMs(), () => done(reach === null ? undefined : this.token));
        }, this.nowMs);
        this.#tickLater();
      }),
    );
  }

  protected createMachine(output: HubOutput<SimulatedWire>): LeaseHub<SimulatedWire> {
    return new LeaseHub(this.setup.boundMs, output, this.setup.limits);
  }

  protected send(wire: SimulatedWire, frame: Uint8Array): void {
    if (decodeHubMessage(frame).kind === "reset") this.resets += 1;
    wire.send(TO_BRIDGE, frame);
  }

  protected read(after: string | null, leaseMs: number | null): void {
    const { store, pageEvents } = this.setup;
    const lease = leaseMs === null ? null : { hub: this.token, ms: leaseMs };
    store.request(
      this.process,
      () => store.readLog(after, pageEvents, lease),
      (page) => {
        this.machine.readDone(page ?? { kind: "unavailable" }, this.nowMs);
        this.#tickLater();
      },
    );
  }

  #tickLater(): void {
    const { deadlineMs } = this.machine;
    if (deadlineMs === undefined) return;
    this.process.in(Math.max(0, deadlineMs - this.nowMs), () => this.machine.tick(this.nowMs));
  }
}
