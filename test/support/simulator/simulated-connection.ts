import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder } from "../../../protocol/packet-framing.ts";
import { decodePlayerPacket, writePlayerPacket } from "../../../protocol/player-packets.ts";
import type { RoomIdentity } from "../../../protocol/reliable/room/room-connections.ts";
import type { Random } from "../random.ts";
import { Pipe } from "./pipe.ts";
import type { SimulatedRoom } from "./simulated-room.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** How often a dial gets no response, or is slow. */
const DEAD_DIAL = 0.1;
const SLOW_DIAL = 0.15;

/** The events of a connection for its player. */
export interface ConnectionListener {
  connected(): void;
  opened(): void;
  received(bytes: Uint8Array): void;
  receivedText(): void;
  lost(): void;
}

/** What a connection needs to know of the network that it goes through. */
export interface ConnectionNetwork {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly room: SimulatedRoom;
  readonly isHealthy: boolean;
}

export interface SimulatedConnectionOptions {
  readonly network: ConnectionNetwork;
  readonly relay: number;
  readonly identity: RoomIdentity;
  readonly listener: ConnectionListener;
  /** Both ends have closed. */
  readonly onEnd: () => void;
}

/** One connection: player, network, relay, room. The relay passes on whole packets, and responds to pings itself. */
export class SimulatedConnection {
  readonly relay: number;
  readonly #network: ConnectionNetwork;
  readonly #listener: ConnectionListener;
  readonly #onEnd: () => void;
  readonly #up: Pipe;
  readonly #down: Pipe;
  readonly #decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
  readonly #identity: RoomIdentity;
  #roomConnection: number | undefined;
  /** Whether each end is still open. */
  #playerHere = true;
  #relayHere = true;

  constructor({ network, relay, identity, listener, onEnd }: SimulatedConnectionOptions) {
    this.relay = relay;
    this.#network = network;
    this.#identity = identity;
    this.#listener = listener;
    this.#onEnd = onEnd;
    const { clock, random } = network;
    const latencyMs = random.chance(0.2) ? random.integer(100, 800) : random.integer(1, 60);
    this.#up = new Pipe(clock, random, latencyMs, {
      bytes: (chunk) => this.#relayUp(chunk),
      ended: () => this.#endRelay(),
    });
    this.#down = new Pipe(clock, random, latencyMs, {
      bytes: (chunk) => this.#playerHere && this.#listener.received(chunk),
      ended: () => this.#endPlayer(),
    });
  }

  get isAlive(): boolean {
    return this.#playerHere || this.#relayHere;
  }

  open(): void {
    const { random, clock, isHealthy } = this.#network;
    if (!isHealthy && random.chance(DEAD_DIAL)) return;
    const connectMs = !isHealthy && random.chance(SLOW_DIAL) ? random.integer(1_000, 15_000) : random.integer(1, 300);
    clock.in(connectMs, () => {
      if (!this.#playerHere || !this.#relayHere) return;
      this.#listener.connected();
      clock.in(random.integer(1, 100), () => {
        if (!this.#playerHere || !this.#relayHere) return;
        const socket = {
          identity: this.#identity,
          write: (bytes: Uint8Array) => this.#down.write(bytes),
          closed: () => this.#down.close(),
        };
        this.#roomConnection = this.#network.room.connect(socket);
        this.#listener.opened();
      });
    });
  }

  refuse(): void {
    this.#relayHere = false;
    this.#network.clock.in(this.#network.random.integer(1, 2_000), () => this.#endPlayer());
  }

  write(bytes: Uint8Array): void {
    this.#up.write(bytes);
  }

  /** The heartbeat of a WebSocket: a text, to which the runtime responds without the room. */
  ping(): void {
    this.#up.signal(
      () => this.#relayHere && this.#down.signal(() => this.#playerHere && this.#listener.receivedText()),
    );
  }

  /** The player closed: what it wrote before still arrives. */
  close(): void {
    this.#playerHere = false;
    if (this.#roomConnection === undefined) this.#endRelay();
    else this.#up.close();
  }

  /** Breaks, at any byte; each end notices in its own time. */
  cut(): void {
    const { clock, random } = this.#network;
    this.#up.cut();
    this.#down.cut();
    const slow = () => (random.chance(0.2) ? random.integer(1_000, 20_000) : random.integer(0, 300));
    clock.in(slow(), () => this.#endRelay());
    clock.in(slow(), () => this.#endPlayer());
  }

  /** Half-open: nothing arrives in one direction or both, and neither end gets an error. */
  stall(resumeMs: number | undefined): void {
    const { clock, random } = this.#network;
    const direction = random.integer(0, 2);
    if (direction !== 0) this.#up.stall();
    if (direction !== 1) this.#down.stall();
    if (resumeMs !== undefined) clock.in(resumeMs, () => this.resume());
    else clock.in(random.integer(20_000, 40_000), () => this.#endRelay());
  }

  resume(): void {
    this.#up.resume();
    this.#down.resume();
  }

  #relayUp(chunk: Uint8Array): void {
    if (!this.#relayHere || this.#roomConnection === undefined) return;
    const passed = new ByteWriter();
    this.#decoder.push(chunk, (packet) => {
      const decoded = decodePlayerPacket(packet);
      if (decoded.kind !== "ping") passed.bytes(packet);
      else this.#down.write(pong(decoded.nonce));
    });
    if (passed.length > 0) this.#network.room.receive(this.#roomConnection, passed.finish());
  }

  #endRelay(): void {
    if (!this.#relayHere) return;
    this.#relayHere = false;
    if (this.#roomConnection !== undefined) this.#network.room.disconnect(this.#roomConnection);
    this.#reportEnd();
  }

  #endPlayer(): void {
    if (!this.#playerHere) return;
    this.#playerHere = false;
    this.#listener.lost();
    // A player closes its side too.
    this.#up.close();
    this.#reportEnd();
  }

  #reportEnd(): void {
    if (!this.isAlive) this.#onEnd();
  }
}

function pong(nonce: number): Uint8Array {
  const writer = new ByteWriter();
  writePlayerPacket(writer, { kind: "pong", nonce });
  return writer.finish();
}
