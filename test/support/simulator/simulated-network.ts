import type { RoomIdentity } from "../../../protocol/reliable/room/room-connections.ts";
import type { Random } from "../random.ts";
import { SimulatedPath } from "./simulated-path.ts";
import type { SimulatedRoom } from "./simulated-room.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** What a dialing player hears of its connection. */
export interface PathListener {
  connected(): void;
  opened(): void;
  received(bytes: Uint8Array): void;
  receivedText(): void;
  lost(): void;
}

/** Relays between the players and the room, any of which will do, and the connections through them. */
export class SimulatedNetwork {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly room: SimulatedRoom;
  readonly #paths = new Set<SimulatedPath>();
  readonly #downUntilMs: number[];
  #healthy = false;

  constructor(clock: VirtualClock, random: Random, room: SimulatedRoom, relays: number) {
    this.clock = clock;
    this.random = random;
    this.room = room;
    this.#downUntilMs = Array.from({ length: relays }, () => 0);
  }

  get isHealthy(): boolean {
    return this.#healthy;
  }

  get paths(): SimulatedPath[] {
    return [...this.#paths].filter((path) => path.isAlive);
  }

  /** Dials through whatever relay the load balancer picks. */
  dial(identity: RoomIdentity, listener: PathListener): SimulatedPath {
    const relay = this.random.integer(0, this.#downUntilMs.length - 1);
    const isDown = (this.#downUntilMs[relay] ?? 0) > this.clock.nowMs;
    const path = new SimulatedPath(this, relay, identity, listener);
    this.#paths.add(path);
    if (isDown) path.refuse();
    else path.open();
    return path;
  }

  /** A relay dies with all its connections, and is down for a while. */
  killRelay(downMs: number): void {
    const relay = this.random.integer(0, this.#downUntilMs.length - 1);
    this.#downUntilMs[relay] = this.clock.nowMs + downMs;
    for (const path of this.paths) if (path.relay === relay) path.cut();
  }

  forget(path: SimulatedPath): void {
    this.#paths.delete(path);
  }

  /** Nothing goes wrong any more. */
  heal(): void {
    this.#healthy = true;
    this.#downUntilMs.fill(0);
    for (const path of this.#paths) path.resume();
  }
}
