import { type RawData, WebSocket } from "ws";
import { HEADER_BYTES, isEveryPacket, ProtocolError, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { decodePlayerPacket, type Join, PLAYER_PACKET_TYPES } from "../../protocol/player-packets.ts";
import { formatToken } from "../../protocol/session-token.ts";
import { type EdgeFailure, edgeFailure } from "../edge/edge-client.ts";

/** The callbacks of a {@link RoomSocket}. None is called before its constructor has returned. */
export interface RoomSocketEvents {
  /** A message of the room: one or more whole packets, if the room is correct. It is not changed later. */
  received(message: Uint8Array): void;
  /** The edge responded to a ping. `nonces`: of the player's Pings that wait for it. */
  pong(nonces: readonly number[]): void;
  /** {@link RoomSocket.bufferedBytes} became less. */
  written(): void;
  /** The WebSocket ended. Called once. */
  closed(end: RoomSocketEnd): void;
}

/** How a WebSocket to a room ended. */
export type RoomSocketEnd =
  /** It never opened: the edge could not be reached, or refused the upgrade. */
  EdgeFailure | { readonly kind: "closed"; readonly closeCode: number; readonly reason: string };

/** Well above what a room sends one player at once: it closes the player before 1 MiB is unacknowledged. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** Acks alone wait this long for other packets: they are frequent, and each message wakes the room. */
const ACK_WAIT_MS = 20;

/** How long the edge may take to respond to a close. */
const CLOSE_MS = 1_000;

/** Pings that may wait for a response of the edge. Further ones get none: a player cannot use more. */
const MAX_PENDING_PINGS = 64;

/**
 * The WebSocket of one player to its room. All packets written in one turn of the event loop are sent as one message, because each
 * message wakes the room. Packets written before the WebSocket is open wait.
 *
 * It also knows what the edge must respond to in time: the Join, with which it is opened, and pings.
 */
export class RoomSocket {
  /** Resolves when the WebSocket ended. */
  readonly ended: Promise<void>;
  readonly #socket: WebSocket;
  readonly #events: RoomSocketEvents;
  readonly #deadlineMs: number;
  #queue: Uint8Array[] = [];
  #queueBytes = 0;
  #flushScheduled = false;
  #ackTimer: NodeJS.Timeout | undefined;
  #failure: EdgeFailure | undefined;
  #joinDueMs: number;
  #pongDueMs = Number.POSITIVE_INFINITY;
  #pingQueued = false;
  #nonces: number[] = [];

  /**
   * Starts to connect to `url`. `token` is the text of the session token, which authenticates the upgrade. `deadlineMs`: how long
   * the upgrade may take, the response to the Join, and each pong.
   */
  constructor(url: URL, token: string, deadlineMs: number, events: RoomSocketEvents) {
    this.#events = events;
    this.#deadlineMs = deadlineMs;
    this.#joinDueMs = performance.now() + deadlineMs;
    const socket = new WebSocket(url, {
      headers: { Authorization: `Bearer ${token}` },
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      handshakeTimeout: deadlineMs,
    });
    this.#socket = socket;
    this.ended = new Promise((resolve) => socket.once("close", () => resolve()));
    let opened = false;
    socket.on("open", () => {
      opened = true;
      this.#flush();
    });
    socket.on("message", (data: RawData, isBinary: boolean) => {
      // With the binaryType "nodebuffer" data is one Buffer. The only text that an edge sends is "pong".
      if (isBinary) events.received(data as Buffer);
      else this.#receivePong();
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
    return this.#queueBytes + this.#socket.bufferedAmount;
  }

  /** Sends whole packets, which must not change later. Acks alone are sent with the next packets, or soon. */
  write(packets: Uint8Array): void {
    this.#queue.push(packets);
    this.#queueBytes += packets.byteLength;
    if (!isEveryPacket(packets, PLAYER_PACKET_TYPES.ack)) this.#scheduleFlush();
    else this.#ackTimer ??= setTimeout(() => this.#flush(), ACK_WAIT_MS);
  }

  /** Tests whether the edge still responds, unless a test is under way. `nonce`: of the player's Ping that wants to know. */
  ping(nowMs: number, nonce?: number): void {
    if (nonce !== undefined && this.#nonces.length < MAX_PENDING_PINGS) this.#nonces.push(nonce);
    if (Number.isFinite(this.#pongDueMs)) return;
    this.#pongDueMs = nowMs + this.#deadlineMs;
    this.#pingQueued = true;
    this.#scheduleFlush();
  }

  /** The outcome of the Join is known: it has no deadline any more. */
  joinDone(): void {
    this.#joinDueMs = Number.POSITIVE_INFINITY;
  }

  /** The player does not read, and the pong may be behind bytes for it: its deadline starts anew. */
  postponePong(nowMs: number): void {
    if (Number.isFinite(this.#pongDueMs)) this.#pongDueMs = nowMs + this.#deadlineMs;
  }

  /** Whether the response to the Join or to a ping is late. */
  isOverdue(nowMs: number): boolean {
    return nowMs > this.#joinDueMs || nowMs > this.#pongDueMs;
  }

  /** Leaves what the room sends in the network. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  /** Closes the WebSocket after everything that was written, within {@link CLOSE_MS}. Idempotent. */
  close(): void {
    const socket = this.#socket;
    if (socket.readyState === WebSocket.CLOSING || socket.readyState === WebSocket.CLOSED) return;
    this.#flush();
    // The response to the close is behind everything that the room has sent.
    this.resume();
    socket.close(1000);
    const timer = setTimeout(() => socket.terminate(), CLOSE_MS);
    socket.once("close", () => clearTimeout(timer));
  }

  #receivePong(): void {
    const nonces = this.#nonces;
    this.#nonces = [];
    this.#pongDueMs = Number.POSITIVE_INFINITY;
    this.#events.pong(nonces);
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
    const [first, ...others] = this.#queue;
    if (first !== undefined) {
      const message = others.length === 0 ? first : Buffer.concat(this.#queue, this.#queueBytes);
      this.#queue = [];
      this.#queueBytes = 0;
      socket.send(message, () => this.#events.written());
    }
    if (!this.#pingQueued) return;
    this.#pingQueued = false;
    socket.send("ping");
  }
}

/** Where the rooms are. */
export interface RoomSocketsOptions {
  /** The edge. Only its origin and path are used. */
  readonly edgeUrl: URL;
  /** The `deadlineMs` of each {@link RoomSocket}. */
  readonly deadlineMs: number;
}

/** Opens the WebSockets of all players, and closes them when the port closes. */
export class RoomSockets {
  readonly #base: string;
  readonly #deadlineMs: number;
  readonly #open = new Set<RoomSocket>();

  constructor({ edgeUrl, deadlineMs }: RoomSocketsOptions) {
    this.#base = `${edgeUrl.origin}${edgeUrl.pathname.replace(/\/$/, "")}`;
    this.#deadlineMs = deadlineMs;
  }

  /** Starts to connect to the room of a Join, with the Join's token. */
  open({ room, token }: Join, events: RoomSocketEvents): RoomSocket {
    const url = new URL(`${this.#base}/v1/rooms/${room}/socket`);
    const socket = new RoomSocket(url, formatToken(token), this.#deadlineMs, events);
    this.#open.add(socket);
    void socket.ended.then(() => this.#open.delete(socket));
    return socket;
  }

  /** Closes all that are open, after everything that was written, within {@link CLOSE_MS}. */
  async close(): Promise<void> {
    const sockets = [...this.#open];
    for (const socket of sockets) socket.close();
    await Promise.all(sockets.map(({ ended }) => ended));
  }
}

/** What the bridge reads of a message that it relays from a room. */
export interface RoomMessage {
  readonly packets: number;
  /** The response to a Join, if the message contains it. */
  readonly joined: "joined" | "resumed" | undefined;
  /** The code of the Closed in the message, which is the room's last packet. */
  readonly closedCode: number | undefined;
}

/** Reads a message of a room, undefined if it is not whole packets. Only Joined and Closed are decoded. */
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
