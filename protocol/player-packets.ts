import { ByteReader, type ByteWriter } from "./packet-fields.ts";
import { HEADER_BYTES, MAX_PLAYER_PACKET_BYTES, ProtocolError, packetType } from "./packet-framing.ts";
import { MAX_USER_BYTES } from "./service-packets.ts";
import { TOKEN_BYTES } from "./session-token.ts";

/** A packet between a player and a room (docs/wire-protocol.md, "Player packets"). */
export type PlayerPacket = PlayerToRoom | RoomToPlayer;

/** The packets that a player may send. */
export type PlayerToRoom = Join | Publish | Datagram | Ack | Ping | Leave;

/** The packets that a room, or the bridge in front of it, may send. */
export type RoomToPlayer = Joined | Deliver | Datagram | Ack | Pong | Closed | PresenceChange | Gap;

/** The `state` of {@link PresenceChange}. */
export const Presence = {
  Joined: 1,
  /** The connection was lost; the member keeps its seat for the retention time. */
  Held: 2,
  Resumed: 3,
  Left: 4,
} as const;

export type Presence = (typeof Presence)[keyof typeof Presence];

/** The first packet of a player. */
export interface Join {
  readonly kind: "join";
  /** TOKEN_BYTES bytes: the session token, or zeros on a WebSocket whose upgrade carried it. */
  readonly token: Uint8Array;
  readonly room: string;
  /** 0 for a fresh join; for a resume, the epoch of the last Joined. */
  readonly epoch: number;
  /** The highest offset that the player has received in that epoch. */
  readonly delivered: number;
  /** Greater in each Join that a client sends for its seat. */
  readonly attempt: number;
}

/** The response to a Join. Then each side sends what the other has not received. */
export interface Joined {
  readonly kind: "joined";
  readonly resumed: boolean;
  /** The number of the player in this room, from 1. */
  readonly member: number;
  readonly epoch: number;
  /** The offset after which delivery starts. */
  readonly offset: number;
  /** The highest `seq` that the room has received from this session. */
  readonly received: number;
  readonly retentionSeconds: number;
  readonly heartbeatSeconds: number;
}

/** A reliable message to the room. */
export interface Publish {
  readonly kind: "publish";
  /** 1, 2, 3, ... */
  readonly seq: number;
  /** A member number, 0 for every member. */
  readonly to: number;
  readonly body: Uint8Array;
}

/** A reliable message to a member. */
export interface Deliver {
  readonly kind: "deliver";
  /** Greater in each Deliver. An offset that is skipped belongs to a message to others. */
  readonly offset: number;
  /** The member number of the sender, 0 for the server. */
  readonly from: number;
  readonly to: number;
  readonly body: Uint8Array;
}

/** An unreliable message: it has no offset and is never replayed. */
export interface Datagram {
  readonly kind: "datagram";
  /** From a player 0; from a room the member number of the sender. */
  readonly member: number;
  readonly body: Uint8Array;
}

/** Acknowledges everything up to `position`: for a player the highest offset received, for a room the highest durable `seq`. */
export interface Ack {
  readonly kind: "ack";
  readonly position: number;
}

export interface Ping {
  readonly kind: "ping";
  readonly nonce: number;
}

export interface Pong {
  readonly kind: "pong";
  readonly nonce: number;
}

/** Gives up the seat at once. */
export interface Leave {
  readonly kind: "leave";
}

/** The last packet of a connection. */
export interface Closed {
  readonly kind: "closed";
  /** A code of closed-codes.ts, or one of a later version. */
  readonly code: number;
  readonly message: string;
}

/** A change of a member's state. With `offset` 0 it is no change: it lists a member who is in the room now. */
export interface PresenceChange {
  readonly kind: "presence";
  readonly offset: number;
  readonly member: number;
  readonly state: Presence;
  readonly user: string;
}

/** The offsets `from`..`to` can no longer be replayed. Messages to others are among them, so it is an upper bound of what the player lost. */
export interface Gap {
  readonly kind: "gap";
  readonly from: number;
  readonly to: number;
}

/** The first field of Join. */
const PLAYER_PROTOCOL_VERSION = 1;

/** A Deliver without its body: header, `offset u64, from u32, to u32`. */
export const DELIVER_OVERHEAD_BYTES = HEADER_BYTES + 8 + 4 + 4;

/** The largest body of a Publish in bytes. Its Deliver has the longer header and must fit in a packet too. */
export const MAX_BODY_BYTES = MAX_PLAYER_PACKET_BYTES - DELIVER_OVERHEAD_BYTES;

/** A Datagram without its body: header, `member u32`. */
export const DATAGRAM_OVERHEAD_BYTES = HEADER_BYTES + 4;

/** The largest body of a Datagram in bytes. */
export const MAX_DATAGRAM_BYTES = MAX_PLAYER_PACKET_BYTES - DATAGRAM_OVERHEAD_BYTES;

/** The longest name of a room in bytes; the shortest has 1. */
export const MAX_ROOM_BYTES = 64;

/** Not `.` or `..`: they would change the path of a URL (RFC 3986 §5.2.4). */
const ROOM_NAME = /^(?!\.{1,2}$)[A-Za-z0-9_.-]+$/;

/** The type of each player packet (docs/wire-protocol.md, "Player packets"). */
export const PLAYER_PACKET_TYPES = {
  join: 256,
  joined: 257,
  publish: 258,
  deliver: 259,
  datagram: 260,
  ack: 261,
  ping: 262,
  pong: 263,
  leave: 264,
  closed: 265,
  presence: 266,
  gap: 267,
} as const satisfies Record<PlayerPacket["kind"], number>;

const KIND_OF_TYPE = new Map<number, PlayerPacket["kind"]>(
  Object.entries(PLAYER_PACKET_TYPES).map(([kind, type]) => [type, kind as PlayerPacket["kind"]]),
);

/** Whether a room may have this name: 1..64 characters of `[A-Za-z0-9_.-]`, but not `.` or `..`. */
export function isRoomName(name: string): boolean {
  return name.length <= MAX_ROOM_BYTES && ROOM_NAME.test(name);
}

/**
 * Decodes one whole packet of a player or of a room.
 *
 * @throws ProtocolError the type is unknown, or a field is missing, too long or out of range
 */
export function decodePlayerPacket(packet: Uint8Array): PlayerPacket {
  const type = packetType(packet);
  const kind = KIND_OF_TYPE.get(type);
  if (kind === undefined) throw new ProtocolError("unknown_type", `unknown packet type ${type}`);
  const reader = new ByteReader(packet, HEADER_BYTES);
  const decoded = READERS[kind](reader);
  reader.end();
  return decoded;
}

/** Appends a packet. It does not check the fields: a body must have at most {@link MAX_BODY_BYTES}, the room a valid name. */
export function writePlayerPacket(writer: ByteWriter, packet: PlayerPacket): void {
  writer.packet(PLAYER_PACKET_TYPES[packet.kind], () => writePayload(writer, packet));
}

function writePayload(writer: ByteWriter, packet: PlayerPacket): void {
  switch (packet.kind) {
    case "join":
      writer.u8(PLAYER_PROTOCOL_VERSION).bytes(packet.token).string(packet.room);
      writer.u64(packet.epoch).u64(packet.delivered).u32(packet.attempt);
      break;
    case "joined":
      writer.u8(packet.resumed ? 1 : 0).u32(packet.member);
      writer.u64(packet.epoch).u64(packet.offset).u64(packet.received);
      writer.u16(packet.retentionSeconds).u16(packet.heartbeatSeconds);
      break;
    case "publish":
      writer.u64(packet.seq).u32(packet.to).bytes(packet.body);
      break;
    case "deliver":
      writer.u64(packet.offset).u32(packet.from).u32(packet.to).bytes(packet.body);
      break;
    case "datagram":
      writer.u32(packet.member).bytes(packet.body);
      break;
    case "ack":
      writer.u64(packet.position);
      break;
    case "ping":
    case "pong":
      writer.u32(packet.nonce);
      break;
    case "leave":
      break;
    case "closed":
      writer.u16(packet.code).string(packet.message);
      break;
    case "presence":
      writer.u64(packet.offset).u32(packet.member).u8(packet.state).string(packet.user);
      break;
    case "gap":
      writer.u64(packet.from).u64(packet.to);
      break;
  }
}

const READERS: { readonly [K in PlayerPacket["kind"]]: (reader: ByteReader) => PlayerPacket } = {
  join: (reader) => {
    const version = reader.u8("version");
    if (version !== PLAYER_PROTOCOL_VERSION) throw outOfRange("version", version, `${PLAYER_PROTOCOL_VERSION}`);
    const token = reader.bytes(TOKEN_BYTES, "token");
    const room = reader.string("room", 1, MAX_ROOM_BYTES);
    if (!ROOM_NAME.test(room))
      throw new ProtocolError("out_of_range", "room: allowed is [A-Za-z0-9_.-], but not . or ..");
    const epoch = reader.u64("epoch");
    const delivered = reader.u64("delivered");
    return { kind: "join", token, room, epoch, delivered, attempt: reader.u32("attempt") };
  },
  joined: (reader) => ({
    kind: "joined",
    resumed: within(reader.u8("resumed"), "resumed", 0, 1) === 1,
    member: reader.u32("member"),
    epoch: reader.u64("epoch"),
    offset: reader.u64("offset"),
    received: reader.u64("received"),
    retentionSeconds: reader.u16("retentionSeconds"),
    heartbeatSeconds: reader.u16("heartbeatSeconds"),
  }),
  publish: (reader) => {
    const seq = within(reader.u64("seq"), "seq", 1, Number.MAX_SAFE_INTEGER);
    const to = reader.u32("to");
    const body = reader.rest();
    if (body.byteLength > MAX_BODY_BYTES) throw outOfRange("body", body.byteLength, `0..${MAX_BODY_BYTES} bytes`);
    return { kind: "publish", seq, to, body };
  },
  deliver: (reader) => {
    const offset = within(reader.u64("offset"), "offset", 1, Number.MAX_SAFE_INTEGER);
    return { kind: "deliver", offset, from: reader.u32("from"), to: reader.u32("to"), body: reader.rest() };
  },
  datagram: (reader) => ({ kind: "datagram", member: reader.u32("member"), body: reader.rest() }),
  ack: (reader) => ({ kind: "ack", position: reader.u64("position") }),
  ping: (reader) => ({ kind: "ping", nonce: reader.u32("nonce") }),
  pong: (reader) => ({ kind: "pong", nonce: reader.u32("nonce") }),
  leave: () => ({ kind: "leave" }),
  closed: (reader) => ({
    kind: "closed",
    code: reader.u16("code"),
    message: reader.string("message", 0, MAX_PLAYER_PACKET_BYTES),
  }),
  presence: (reader) => {
    const offset = reader.u64("offset");
    const member = reader.u32("member");
    const state = within(reader.u8("state"), "state", Presence.Joined, Presence.Left) as Presence;
    return { kind: "presence", offset, member, state, user: reader.string("id", 1, MAX_USER_BYTES) };
  },
  gap: (reader) => {
    const from = reader.u64("from");
    return { kind: "gap", from, to: within(reader.u64("to"), "to", from, Number.MAX_SAFE_INTEGER) };
  },
};

function within(value: number, field: string, min: number, max: number): number {
  if (value < min || value > max) throw outOfRange(field, value, `${min}..${max}`);
  return value;
}

function outOfRange(field: string, value: number, allowed: string): ProtocolError {
  return new ProtocolError("out_of_range", `${field}: ${value}, allowed is ${allowed}`);
}
