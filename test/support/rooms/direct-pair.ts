import { ClientMachine } from "../../../protocol/reliable/client/client-machine.ts";
import type { ClientEvent } from "../../../protocol/reliable/client/client-output.ts";
import { RoomCore } from "../../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../../protocol/reliable/room/room-limits.ts";
import { MemoryRoomStorage } from "./memory-room-storage.ts";

/** A client and a room without a network: what one writes, the other receives at once. */
export class DirectPair {
  readonly storage = new MemoryRoomStorage(1);
  readonly room: RoomCore;
  readonly client = new ClientMachine({
    token: new Uint8Array(20),
    room: "lobby",
    heartbeat: "packet",
    epochMs: () => Date.UTC(2027, 0, 1),
    random: () => 0,
  });
  readonly #onEvent: (event: ClientEvent) => void;
  #nowMs = 1_000;
  #connection = 0;

  constructor(onEvent: (event: ClientEvent) => void = () => undefined, limits: Partial<RoomLimits> = {}) {
    this.#onEvent = onEvent;
    this.room = new RoomCore({ name: "lobby", storage: this.storage, limits });
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Delivers the outputs of both, until there are none. */
  exchange(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const output of this.client.takeOutputs(this.#nowMs)) {
        moved = true;
        if (output.kind === "event") this.#onEvent(output.event);
        else if (output.kind === "dial") this.#open(output.connection);
        else if (output.kind === "write") this.room.received(output.connection, output.bytes, this.#nowMs);
      }
      for (const output of this.room.takeOutputs(this.#nowMs)) {
        if (output.kind === "write") this.client.received(output.connection, output.bytes, this.#nowMs);
        moved ||= output.kind === "write";
      }
    }
  }

  /** Cuts the connection; the client dials again with the next {@link pass}. */
  cut(): void {
    this.client.lost(this.#connection, this.#nowMs);
    this.room.disconnected(this.#connection, this.#nowMs);
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    this.client.tick(this.#nowMs);
    this.room.tick(this.#nowMs);
    this.exchange();
  }

  #open(id: number): void {
    this.#connection = id;
    this.room.connected(id, { session: "kim", user: "kim", acceptsToken: () => false }, this.#nowMs);
    this.client.opened(id, this.#nowMs);
  }
}
