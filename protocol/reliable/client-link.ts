import { MAX_PLAYER_PACKET_BYTES, PacketDecoder } from "../packet-framing.ts";
import { type ClientState, nextState, type StateInput } from "./client-state.ts";
import { Heartbeat, type HeartbeatLimits } from "./heartbeat.ts";
import { PacketOutbox } from "./packet-outbox.ts";

/** One connection of the client machine, from its dial on. */
export class ClientLink {
  readonly id: number;
  readonly decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
  readonly outbox = new PacketOutbox();
  /** When the dial has taken too long, undefined once the room has answered. */
  dialDeadlineMs: number | undefined;
  /** Whether its Join asked for a fresh seat, which the room cannot tell from a newer one when it comes late. */
  joinedFresh = false;
  heartbeat: Heartbeat;
  #state: ClientState = "None";

  constructor(id: number, limits: HeartbeatLimits, nowMs: number, dialDeadlineMs: number) {
    this.id = id;
    this.dialDeadlineMs = dialDeadlineMs;
    this.heartbeat = new Heartbeat(limits, nowMs);
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Whether its Join is out, or was answered: from then on the room may have made it the seat's connection. */
  get hasJoinSent(): boolean {
    return this.#state === "Restore" || this.isJoined;
  }

  /** Whether messages may go. */
  get isJoined(): boolean {
    return this.#state === "Standby" || this.#state === "Established";
  }

  /** Changes the state by the table; false if the input has no place in it. */
  take(input: StateInput): boolean {
    const next = nextState(this.#state, input);
    if (next === undefined) return false;
    this.#state = next;
    return true;
  }
}
