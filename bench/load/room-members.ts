import { ByteWriter } from "../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { decodePlayerPacket, PLAYER_PACKET_TYPES, writePlayerPacket } from "../../protocol/player-packets.ts";
import { AckPolicy, DEFAULT_ACK_LIMITS } from "../../protocol/reliable/flow-control.ts";
import { parseToken, TOKEN_BYTES } from "../../protocol/session-token.ts";
import { openSocket, RawWebSocket } from "./raw-web-socket.ts";

/** Bytes of a message: about the size of a position with a little state. */
export const BODY_BYTES = 64;

/** One player of a load. */
export interface RoomMember {
  /** Publishes the player's next messages, in one write. */
  publish(count: number): void;
  stop(): Promise<void>;
}

/** What a player reports to its load. */
export interface MemberEvents {
  /** Messages were delivered; `own` of them were published by the player itself. */
  delivered(messages: number, own: number): void;
}

export interface ArtoriaMemberOptions {
  readonly port: number;
  /** `bridge`: TLS to a player port. `edge`: a WebSocket. */
  readonly way: "bridge" | "edge";
  /** For the bridge: the authority of its certificate, PEM. */
  readonly ca?: string;
  readonly token: string;
  readonly room: string;
}

const BODY = new Uint8Array(BODY_BYTES).fill(0x61);

/** The fields of Deliver behind the header (docs/wire-protocol.md). */
const OFFSET_AT = 4;
const FROM_AT = 12;

/** A player with the packets of protocol/, who acknowledges as client/ does; it dies when the room ends its connection. */
export class ArtoriaMember implements RoomMember {
  readonly #decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
  readonly #acks = new AckPolicy(DEFAULT_ACK_LIMITS);
  readonly #events: MemberEvents;
  #write: (bytes: Uint8Array) => void = () => {};
  #close: () => Promise<void> = async () => {};
  #joined: (() => void) | undefined;
  #member = 0;
  #offset = 0;
  #nextSeq = 1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  private constructor(events: MemberEvents) {
    this.#events = events;
  }

  /** Resolves when the player has its seat. */
  static async open(options: ArtoriaMemberOptions, events: MemberEvents): Promise<ArtoriaMember> {
    const member = new ArtoriaMember(events);
    const joined = new Promise<void>((resolve) => {
      member.#joined = resolve;
    });
    await (options.way === "bridge" ? member.#openTls(options) : member.#openWebSocket(options));
    const token = options.way === "bridge" ? parseToken(options.token) : new Uint8Array(TOKEN_BYTES);
    if (token === undefined) throw new Error("a token that is none");
    const writer = new ByteWriter(128);
    writePlayerPacket(writer, { kind: "join", token, room: options.room, epoch: 0, delivered: 0, attempt: 1 });
    member.#write(writer.finish());
    await joined;
    return member;
  }

  publish(count: number): void {
    const writer = new ByteWriter(count * (BODY_BYTES + 16));
    for (let published = 0; published < count; published++) {
      writePlayerPacket(writer, { kind: "publish", seq: this.#nextSeq++, to: 0, body: BODY });
    }
    this.#write(writer.finish());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const writer = new ByteWriter();
    writePlayerPacket(writer, { kind: "leave" });
    this.#write(writer.finish());
    await this.#close();
  }

  async #openTls({ port, ca }: ArtoriaMemberOptions): Promise<void> {
    const socket = await openSocket(port, ca);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#write = (bytes) => void socket.write(bytes);
    this.#close = async () => void socket.destroySoon();
  }

  async #openWebSocket({ port, token, room }: ArtoriaMemberOptions): Promise<void> {
    const socket = await RawWebSocket.open({
      port,
      path: `/v1/rooms/${room}/socket`,
      headers: { Authorization: `Bearer ${token}` },
      onMessage: (payload) => this.#receive(payload),
    });
    this.#write = (bytes) => socket.sendBinary(bytes);
    this.#close = () => socket.stop();
  }

  #receive(bytes: Buffer): void {
    const nowMs = performance.now();
    let messages = 0;
    let own = 0;
    this.#decoder.pushRuns(bytes, (run) => {
      const view = new DataView(run.buffer, run.byteOffset, run.byteLength);
      for (let at = 0; at < run.byteLength; ) {
        const size = packetSizeAt(run, at);
        if (packetType(run, at) === PLAYER_PACKET_TYPES.deliver) {
          const offset = view.getUint32(at + OFFSET_AT, true) + view.getUint32(at + OFFSET_AT + 4, true) * 2 ** 32;
          this.#advance(offset, size, nowMs);
          messages += 1;
          if (view.getUint32(at + FROM_AT, true) === this.#member) own += 1;
        } else {
          this.#receiveOther(run.subarray(at, at + size), nowMs);
        }
        at += size;
      }
    });
    if (this.#acks.isDue(nowMs)) this.#acknowledge();
    else if (this.#acks.deadlineMs !== undefined)
      this.#timer ??= setTimeout(() => this.#acknowledge(), DEFAULT_ACK_LIMITS.ackDelayMs);
    if (messages > 0) this.#events.delivered(messages, own);
  }

  #receiveOther(bytes: Uint8Array, nowMs: number): void {
    const packet = decodePlayerPacket(bytes);
    if (packet.kind === "closed" && !this.#stopped)
      throw new Error(`the room closed a player with ${packet.code}: ${packet.message}`);
    if (packet.kind === "gap") throw new Error("the room reported a gap");
    if (packet.kind === "presence" && packet.offset > 0) this.#advance(packet.offset, bytes.byteLength, nowMs);
    if (packet.kind !== "joined") return;
    this.#member = packet.member;
    this.#offset = packet.offset;
    this.#nextSeq = packet.received + 1;
    this.#joined?.();
  }

  #advance(offset: number, bytes: number, nowMs: number): void {
    if (offset <= this.#offset) throw new Error(`offset ${offset} after ${this.#offset}`);
    this.#offset = offset;
    this.#acks.onReceived(bytes, nowMs);
  }

  #acknowledge(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#stopped) return;
    this.#acks.reset();
    const writer = new ByteWriter(16);
    writePlayerPacket(writer, { kind: "ack", position: this.#offset });
    this.#write(writer.finish());
  }
}

export interface SocketIoMemberOptions {
  readonly port: number;
  readonly ca?: string;
  readonly room: string;
  /** Distinguishes the players of a room; at most 6 digits. */
  readonly number: number;
}

/** What Engine.IO 4 puts in front of a packet, and Socket.IO 5 behind it (socket.io/docs/v4/socket-io-protocol). */
const PING = "2";
const PONG = "3";
const CONNECT = "40";
const EVENT = '42["m","';
const EVENT_START = Buffer.from(EVENT);
const NUMBER_DIGITS = 6;

/**
 * A player with Socket.IO's own packets on one WebSocket, as socket.io-client is with `transports: ["websocket"]`. A message
 * is a text, which costs Socket.IO one frame; bytes would cost it two.
 */
export class SocketIoMember implements RoomMember {
  readonly #socket: RawWebSocket;
  readonly #message: string;

  private constructor(socket: RawWebSocket, message: string) {
    this.#socket = socket;
    this.#message = message;
  }

  /** Resolves when the player is connected, and in its room. */
  static async open({ port, ca, room, number }: SocketIoMemberOptions, events: MemberEvents): Promise<SocketIoMember> {
    const name = String(number).padStart(NUMBER_DIGITS, "0");
    const ownStart = Buffer.from(EVENT + name);
    let connected = () => {};
    const ready = new Promise<void>((resolve) => {
      connected = resolve;
    });
    const socket = await RawWebSocket.open({
      port,
      path: `/socket.io/?EIO=4&transport=websocket&room=${room}`,
      ...(ca !== undefined && { ca }),
      onMessage: (payload) => {
        if (payload.byteLength > EVENT.length + BODY_BYTES && startsWith(payload, EVENT_START)) {
          events.delivered(1, startsWith(payload, ownStart) ? 1 : 0);
        } else if (payload.toString("latin1") === PING) socket.sendText(PONG);
        else if (payload.toString("latin1", 0, CONNECT.length) === CONNECT) connected();
      },
    });
    socket.sendText(CONNECT);
    await ready;
    return new SocketIoMember(socket, `${EVENT}${name.padEnd(BODY_BYTES, "a")}"]`);
  }

  publish(count: number): void {
    for (let published = 0; published < count; published++) this.#socket.sendText(this.#message);
  }

  stop(): Promise<void> {
    return this.#socket.stop();
  }
}

/** A loop, because a call out of JavaScript costs more than comparing so few bytes. */
function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  for (let at = 0; at < start.byteLength; at++) if (bytes[at] !== start[at]) return false;
  return true;
}
