import { ByteWriter } from "../../packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder } from "../../packet-framing.ts";
import { type PlayerPacket, writePlayerPacket } from "../../player-packets.ts";
import { Heartbeat, type HeartbeatLimits } from "./heartbeat.ts";

/**
 * The states of a connection to a room, and all their changes. A client may have two connections at once: the one that the
 * room has accepted, and one that is to replace it.
 *
 *   None --dial--> Connecting --connected--> Handshaking --opened--> Connected --join--> Restore
 *                       \---------------------opened----------------/                       |
 *                                                                                         joined
 *                            Established <--ack-- Standby <----------------------------------/
 *
 * From every state `lost` leads back to None. Where the runtime does TCP and TLS in one step (WebSocket), `opened` comes
 * without `connected`.
 *
 * - None: no connection; before the first dial, between dials, after the end.
 * - Connecting: TCP is being connected.
 * - Handshaking: TLS is being negotiated.
 * - Connected: bytes can be sent; Join is the first packet.
 * - Restore: Join was sent; the client waits for the room's position.
 * - Standby: both positions are known; both sides send what the other has not received, and new messages may be sent.
 * - Established: the room's first Ack ended the replay.
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

/** The state after `input`, undefined if the table has none. */
export function nextState(state: ClientState, input: StateInput): ClientState | undefined {
  return TRANSITIONS[state][input];
}

/** One connection of the client machine, from its dial on. */
export class ClientConnection {
  readonly id: number;
  readonly decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
  /** When the dial has taken too long, undefined once the room has accepted the connection. */
  dialDeadlineMs: number | undefined;
  /** Whether its Join asked for a fresh seat. If that Join arrives late, the room takes it for a newer connection. */
  joinedFresh = false;
  heartbeat: Heartbeat;
  #state: ClientState = "None";
  #writer: ByteWriter | undefined;

  constructor(id: number, limits: HeartbeatLimits, nowMs: number, dialDeadlineMs: number) {
    this.id = id;
    this.dialDeadlineMs = dialDeadlineMs;
    this.heartbeat = new Heartbeat(limits, nowMs);
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Whether its Join was sent: from then on the room may have given it the seat. */
  get hasJoinSent(): boolean {
    return this.#state === "Restore" || this.isJoined;
  }

  /** Whether messages may be sent. */
  get isJoined(): boolean {
    return this.#state === "Standby" || this.#state === "Established";
  }

  /** Changes the state by the table; false if the table has no such change. */
  take(input: StateInput): boolean {
    const next = nextState(this.#state, input);
    if (next === undefined) return false;
    this.#state = next;
    return true;
  }

  /** Adds a packet to the next write. */
  add(packet: PlayerPacket): void {
    this.#writer ??= new ByteWriter();
    writePlayerPacket(this.#writer, packet);
  }

  /** Takes out the packets that were added, as one array. */
  takeBytes(): Uint8Array<ArrayBuffer> | undefined {
    const bytes = this.#writer?.finish();
    this.#writer = undefined;
    return bytes;
  }
}
