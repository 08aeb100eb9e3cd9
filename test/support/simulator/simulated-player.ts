import type { ClientLimits } from "../../../protocol/reliable/client/client-config.ts";
import { ClientMachine } from "../../../protocol/reliable/client/client-machine.ts";
import type { ClientEvent, ClientOutput } from "../../../protocol/reliable/client/client-output.ts";
import type { RoomIdentity } from "../../../protocol/reliable/room/room-connections.ts";
import type { SimulatedConnection } from "./simulated-connection.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import { ROOM_NAME } from "./simulated-room.ts";

/** A message that a player's `send` accepted. */
export interface SentMessage {
  readonly id: number;
  readonly to: number;
  readonly text: string;
}

/** Drives a client machine as a real driver does, over the simulated network, and records all its events. */
export class SimulatedPlayer {
  readonly name: string;
  readonly session: string;
  readonly machine: ClientMachine;
  readonly events: ClientEvent[] = [];
  readonly sent: SentMessage[] = [];
  disconnects = false;
  isHandingOver = false;
  readonly #network: SimulatedNetwork;
  readonly #connections = new Map<number, SimulatedConnection>();
  #wakeMs = Number.POSITIVE_INFINITY;

  constructor(name: string, session: string, network: SimulatedNetwork, limits: Partial<ClientLimits>) {
    this.name = name;
    this.session = session;
    this.#network = network;
    const { random, clock } = network;
    const token = new Uint8Array(20);
    this.machine = new ClientMachine({
      token,
      room: ROOM_NAME,
      heartbeat: random.chance(0.3) ? "text" : "packet",
      epochMs: () => clock.nowMs,
      random: () => random.next(),
      limits,
    });
  }

  /** Connections that the machine has not closed. */
  get openPaths(): number {
    return this.#connections.size;
  }

  get closed(): Extract<ClientEvent, { kind: "closed" }> | undefined {
    return this.events.findLast((event) => event.kind === "closed");
  }

  connect(): void {
    this.#call((nowMs) => this.machine.connect(nowMs));
  }

  /** Sends the next message, with a text of its own. */
  send(to: number, padding: number): void {
    const text = `${this.name}#${this.sent.length + 1}${".".repeat(padding)}`;
    this.#call((nowMs) => {
      const result = this.machine.send(Buffer.from(text), to, nowMs);
      if (result.kind === "queued") this.sent.push({ id: result.id, to, text });
    });
  }

  datagram(): void {
    this.#call((nowMs) => this.machine.datagram(Uint8Array.of(1, 2, 3), nowMs));
  }

  /** Its user becomes slow, or fast again. */
  holdAcks(held: boolean): void {
    this.#call(() => this.machine.holdAcks(held));
  }

  hint(): void {
    this.#call((nowMs) => this.machine.networkChanged(nowMs));
  }

  disconnect(): void {
    this.disconnects = true;
    this.#call((nowMs) => this.machine.disconnect(nowMs));
  }

  #call(action: (nowMs: number) => void): void {
    const { nowMs } = this.#network.clock;
    action(nowMs);
    for (const output of this.machine.takeOutputs(nowMs)) this.#execute(output);
    this.#wakeLater();
  }

  #execute(output: ClientOutput): void {
    switch (output.kind) {
      case "event":
        this.#note(output.event);
        break;
      case "dial":
        this.#dial(output.connection);
        break;
      case "write":
        this.#connections.get(output.connection)?.write(output.bytes);
        break;
      case "close":
        this.#connections.get(output.connection)?.close();
        this.#connections.delete(output.connection);
        break;
      case "writeText":
        this.#connections.get(output.connection)?.ping();
        break;
    }
  }

  #note(event: ClientEvent): void {
    this.events.push(event);
    if (event.kind === "handoverBegin") this.isHandingOver = true;
    if (event.kind === "handoverEnd" || event.kind === "handoverFailed") this.isHandingOver = false;
  }

  #dial(id: number): void {
    const identity: RoomIdentity = { session: this.session, user: this.session, acceptsToken: () => false };
    const connection = this.#network.dial(identity, {
      connected: () => this.#call(() => this.machine.connected(id)),
      opened: () => this.#call((nowMs) => this.machine.opened(id, nowMs)),
      received: (bytes) => this.#call((nowMs) => this.machine.received(id, bytes, nowMs)),
      receivedText: () => this.#call((nowMs) => this.machine.receivedText(id, nowMs)),
      lost: () => this.#call((nowMs) => this.machine.lost(id, nowMs)),
    });
    this.#connections.set(id, connection);
  }

  #wakeLater(): void {
    const due = this.machine.deadlineMs ?? Number.POSITIVE_INFINITY;
    if (due === this.#wakeMs || due === Number.POSITIVE_INFINITY) {
      this.#wakeMs = due;
      return;
    }
    this.#wakeMs = due;
    this.#network.clock.at(due, () => {
      if (this.#wakeMs !== due) return;
      this.#wakeMs = Number.POSITIVE_INFINITY;
      this.#call((nowMs) => this.machine.tick(nowMs));
    });
  }
}
