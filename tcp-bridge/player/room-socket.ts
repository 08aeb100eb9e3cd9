import { type RawData, WebSocket } from "ws";
import { HEADER_BYTES, isEveryPacket, ProtocolError, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { decodePlayerPacket, type Join, PLAYER_PACKET_TYPES } from "../../protocol/player-packets.ts";
import { formatToken } from "../../protocol/session-token.ts";
import { type EdgeFailure, edgeFailure } from "../edge/edge-client.ts";

/** What happens to a {@link RoomSocket}, never before its constructor has returned. */
export interface RoomSocketEvents {
  /** A message of the room: one or more whole packets, if the room is right. It is never changed later. */
  received(message: Uint8Array): void;
  /** The edge has answered a ping. */
  pong(): void;
  /** {@link RoomSocket.bufferedBytes} has become less. */
  written(): void;
  /** The end, told once. */
  closed(end: RoomSocketEnd): void;
}

/** How a path ended. */
export type RoomSocketEnd =
  /** It never was: the edge could not be reached, or refused the upgrade. */
  EdgeFailure | { readonly kind: "closed"; readonly closeCode: number; readonly reason: string };

/** A room closes at 1 MiB that is not acknowledged, so no turn of it has more for one player; this is well above. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** Acks come often, and alone they would wake the room for little: so long they wait for others, as a busy room gathers. */
const ACK_WAIT_MS = 20;

/** How long the edge may take to answer a close. */
const CLOSE_MS = 1_000;

/**
 * One player's WebSocket to its room. What one turn of the event loop writes leaves as one message, for every message
 * wakes the room. Written before it is open, it waits.
 */
export class RoomSocket {
  /** Resolves with the end. */
  readonly ended: Promise<void>;
  readonly #socket: WebSocket;
  readonly #events: RoomSocketEvents;
  #turn: Uint8Array[] = [];
  #turnBytes = 0;
  #pingWanted = false;
  #flushScheduled = false;
  #ackTimer: NodeJS.Timeout | undefined;
  #failure: EdgeFailure | undefined;

  /** Begins to connect to `url`, a room's socket; `token` is the session's text, the credential of the upgrade. */
  constructor(url: URL, token: string, timeoutMs: number, events: RoomSocketEvents) {
    this.#events = events;
    const socket = new WebSocket(url, {
      headers: { Authorization: `Bearer ${token}` },
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      handshakeTimeout: timeoutMs,
    });
    this.#socket = socket;
    this.ended = new Promise((resolve) => socket.once("close", () => resolve()));
    let opened = false;
    socket.on("open", () => {
      opened = true;
      this.#flush();
    });
    socket.on("message", (data: RawData, isBinary: boolean) => {
      // With the binaryType "nodebuffer" it is one Buffer; the only text that an edge sends is "pong".
      if (isBinary) events.received(data as Buffer);
      else events.pong();
    });
    socket.on("unexpected-response", (_request, response) => {
      this.#failure = edgeFailure("edge_status", `HTTP status ${response.statusCode} to an upgrade`);
      socket.terminate();
    });
    socket.on("error", (error) => {
      this.#failure ??= edgeFailure("edge_unreachable", error.message);
    });
    socket.on("close", (closeCode, reason) => {
      if (opened) events.closed({ kind: "closed", closeCode, reason: reason.toString() });
      else events.closed(this.#failure ?? edgeFailure("edge_unreachable", "the upgrade was given up"));
    });
  }

  /** Bytes that the system has not taken yet. */
  get bufferedBytes(): number {
    return this.#turnBytes + this.#socket.bufferedAmount;
  }

  /** Sends whole packets, which must not change later. Acks alone leave with what comes next, or soon. */
  write(packets: Uint8Array): void {
    this.#turn.push(packets);
    this.#turnBytes += packets.byteLength;
    if (!isEveryPacket(packets, PLAYER_PACKET_TYPES.ack)) this.#scheduleFlush();
    else this.#ackTimer ??= setTimeout(() => this.#flush(), ACK_WAIT_MS);
  }

  /** Asks whether the path is alive: {@link RoomSocketEvents.pong} is the answer. */
  ping(): void {
    this.#pingWanted = true;
    this.#scheduleFlush();
  }

  /** Leaves what the room sends in the network. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  /** Ends the path after what was written, soon in any case. Idempotent. */
  close(): void {
    const socket = this.#socket;
    if (socket.readyState === WebSocket.CLOSING || socket.readyState === WebSocket.CLOSED) return;
    this.#flush();
    // The answer to the close is behind what the room has sent.
    this.resume();
    socket.close(1000);
    const timer = setTimeout(() => socket.terminate(), CLOSE_MS);
    socket.once("close", () => clearTimeout(timer));
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushScheduled = false;
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    const socket = this.#socket;
    if (socket.readyState !== WebSocket.OPEN) return;
    const [first, ...others] = this.#turn;
    if (first !== undefined) {
      const message = others.length === 0 ? first : Buffer.concat(this.#turn, this.#turnBytes);
      this.#turn = [];
      this.#turnBytes = 0;
      socket.send(message, () => this.#events.written());
    }
    if (!this.#pingWanted) return;
    this.#pingWanted = false;
    socket.send("ping");
  }
}

/** Where the rooms are. */
export interface RoomSocketsOptions {
  /** The edge; only its origin and path count. */
  readonly edgeUrl: URL;
  /** For the connection and the upgrade. */
  readonly timeoutMs: number;
}

/** Opens the players' paths to their rooms. */
export class RoomSockets {
  readonly #base: string;
  readonly #timeoutMs: number;
  readonly #open = new Set<RoomSocket>();

  constructor({ edgeUrl, timeoutMs }: RoomSocketsOptions) {
    this.#base = `${edgeUrl.origin}${edgeUrl.pathname.replace(/\/$/, "")}`;
    this.#timeoutMs = timeoutMs;
  }

  /** Begins to connect to the room of a Join, as the session that it names. */
  open({ room, token }: Join, events: RoomSocketEvents): RoomSocket {
    const url = new URL(`${this.#base}/v1/rooms/${room}/socket`);
    const path = new RoomSocket(url, formatToken(token), this.#timeoutMs, events);
    this.#open.add(path);
    void path.ended.then(() => this.#open.delete(path));
    return path;
  }

  /** Ends what is still open, after what was written; within 1 s. */
  async close(): Promise<void> {
    const paths = [...this.#open];
    for (const path of paths) path.close();
    await Promise.all(paths.map(({ ended }) => ended));
  }
}

/** What the bridge must know of a message that it relays from a room. */
export interface RoomMessage {
  readonly packets: number;
  /** The answer to a Join, if it is in there. */
  readonly joined: "joined" | "resumed" | undefined;
  /** The code of the Closed in there; it is a room's last packet. */
  readonly closedCode: number | undefined;
}

/** Looks through a message of a room, undefined if it is not whole packets; all but Joined and Closed pass unread. */
export function readRoomMessage(message: Uint8Array): RoomMessage | undefined {
  try {
    return readPackets(message);
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

function readPackets(message: Uint8Array): RoomMessage {
  let packets = 0;
  let joined: RoomMessage["joined"];
  let closedCode: number | undefined;
  for (let at = 0; at < message.byteLength; packets++) {
    const size = packetSizeAt(message, at);
    const end = at + size;
    if (size < HEADER_BYTES || end > message.byteLength) {
      throw new ProtocolError("payload_too_short", "message: it ends inside a packet");
    }
    const type = packetType(message, at);
    if (type === PLAYER_PACKET_TYPES.joined || type === PLAYER_PACKET_TYPES.closed) {
      const packet = decodePlayerPacket(message.subarray(at, end));
      if (packet.kind === "joined") joined = packet.resumed ? "resumed" : "joined";
      else if (packet.kind === "closed") closedCode = packet.code;
    }
    at = end;
  }
  return { packets, joined, closedCode };
}
