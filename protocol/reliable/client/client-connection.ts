import { MAX_PLAYER_PACKET_BYTES, PacketDecoder } from "../../packet-framing.ts";
import { PacketOutbox } from "../room/room-log.ts";
import { Heartbeat, type HeartbeatLimits } from "./heartbeat.ts";

/** One connection of the client machine, from its dial on. */
export class ClientConnection {
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

/**
 * The states of a connection to a room, and all their changes. A client may have two at once: the one that the room has
 * accepted, and one that is to replace it.
 *
 *   None --dial--> Connecting --connected--> Handshaking --opened--> Connected --join--> Restore
 *                       \---------------------opened----------------/                       |
 *                                                                                         joined
 *                            Established <--ack-- Standby <----------------------------------/
 *
 * and from every state `lost` leads back to None. Where the runtime does TCP and TLS in one step (WebSocket), `opened`
 * comes without `connected`.
 *
 * - None: no connection; before the first dial, between dials, after the end.
 * - Connecting: TCP is being connected.
 * - Handshaking: the keys are being exchanged.
 * - Connected: bytes may go; Join is the first packet.
 * - Restore: Join is out; waiting for the room's position.
 * - Standby: the positions are known; both sides send what the other has not got, and new messages may go.
 * - Established: the room's first Ack ended its replay; the session is as if it had never been interrupted.
 */
export type ClientState = "None" | "Connecting" | "Handshaking" | "Connected" | "Restore" | "Standby" | "Established";

/** What changes a state. */
export type StateInput = "dial" | "connected" | "opened" | "join" | "joined" | "ack" | "lost";

const TRANSITIONS: Readonly<Record<ClientState, Partial<Record<StateInput, ClientState>>>> = {
  None: { dial: "Connecting" },
  Connecting: { connected: "Handshaking", opened: "Connected", lost: "None" },
  Handshaking: { opened: "Connected", lost: "None" },
  Connected: { join: "Restore", lost: "None" },
  Restore: { joined: "Standby", lost: "None" },
  Standby: { ack: "Established", lost: "None" },
  Established: { ack: "Established", lost: "None" },
};

/**
 * The state after `input`, undefined if the table has none: then the input does not belong there.
 */
export function nextState(state: ClientState, input: StateInput): ClientState | undefined {
  return TRANSITIONS[state][input];
}
