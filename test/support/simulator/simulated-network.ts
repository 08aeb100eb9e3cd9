import type { RoomIdentity } from "../../../protocol/reliable/room/room-connections.ts";
import type { Random } from "../random.ts";
import { type ConnectionListener, SimulatedConnection } from "./simulated-connection.ts";
import type { SimulatedRoom } from "./simulated-room.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** The relays between the players and the room, and the connections through them. Any relay leads to the room. */
export class SimulatedNetwork {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly room: SimulatedRoom;
  readonly #connections = new Set<SimulatedConnection>();
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

  get connections(): SimulatedConnection[] {
    return [...this.#connections].filter((connection) => connection.isAlive);
  }

  /** Dials through a random relay, as a load balancer does. */
  dial(identity: RoomIdentity, listener: ConnectionListener): SimulatedConnection {
    const relay = this.random.integer(0, this.#downUntilMs.length - 1);
    const isDown = (this.#downUntilMs[relay] ?? 0) > this.clock.nowMs;
    const connection = new SimulatedConnection({
      network: this,
      relay,
      identity,
      listener,
      onEnd: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    if (isDown) connection.refuse();
    else connection.open();
    return connection;
  }

  /** A relay fails with all its connections, and is down for a while. */
  killRelay(downMs: number): void {
    const relay = this.random.integer(0, this.#downUntilMs.length - 1);
    this.#downUntilMs[relay] = this.clock.nowMs + downMs;
    for (const connection of this.connections) if (connection.relay === relay) connection.cut();
  }

  /** Ends all trouble: from now on nothing fails. */
  heal(): void {
    this.#healthy = true;
    this.#downUntilMs.fill(0);
    for (const connection of this.#connections) connection.resume();
  }
}
