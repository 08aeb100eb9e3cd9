/** What goes between a player and a room (docs/wire-protocol.md, "Player packets"). */
export type PlayerPacket = PlayerToRoom | RoomToPlayer;

/** What a player may send. */
export type PlayerToRoom = Join | Publish | Datagram | Ack | Ping | Leave;

/** What a room, or the bridge in front of it, may send. */
export type RoomToPlayer = Joined | Deliver | Datagram | Ack | Pong | Closed | PresenceChange | Gap;

/** What became of a member, the `state` of {@link PresenceChange}. */
export const Presence = {
  Joined: 1,
  /** The connection is lost, the seat is kept. */
  Held: 2,
  Resumed: 3,
  Left: 4,
} as const;

export type Presence = (typeof Presence)[keyof typeof Presence];

/** The first packet of a player. */
export interface Join {
  readonly kind: "join";
  /** 20 bytes (protocol/session-token.ts), or zeroes where the WebSocket's upgrade carried the credential. */
  readonly token: Uint8Array;
  readonly room: string;
  /** 0 is a fresh join; otherwise a resume, with the epoch that Joined gave. */
  readonly epoch: number;
  /** The highest offset received, of that epoch. */
  readonly delivered: number;
  /** Grows with every Join that a client sends for its seat. */
  readonly attempt: number;
}

/** The answer to a Join; then each side sends what the other has not got. */
export interface Joined {
  readonly kind: "joined";
  readonly resumed: boolean;
  readonly member: number;
  readonly epoch: number;
  /** The offset after which delivery starts. */
  readonly offset: number;
  /** The highest seq that the room has from this session. */
  readonly received: number;
  readonly retentionSeconds: number;
  readonly heartbeatSeconds: number;
}

/** A reliable message on its way to the room. */
export interface Publish {
  readonly kind: "publish";
  /** From 1, without holes. */
  readonly seq: number;
  /** 0 is everybody in the room, else one member. */
  readonly to: number;
  readonly body: Uint8Array;
}

/** A reliable message on its way to a member. */
export interface Deliver {
  readonly kind: "deliver";
  /** Grows; holes are messages to others. */
  readonly offset: number;
  /** The sender's member number, 0 for the server. */
  readonly from: number;
  readonly to: number;
  readonly body: Uint8Array;
}

/** An unreliable message: it carries no number and is never replayed. */
export interface Datagram {
  readonly kind: "datagram";
  /** 0 from a player; from the room the sender's number. */
  readonly member: number;
  readonly body: Uint8Array;
}

/** Cumulative: a player acks the highest offset, a room the highest seq that is durable. */
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

/** The player goes, and does not come back by itself. */
export interface Leave {
  readonly kind: "leave";
}

/** The last packet of a connection. */
export interface Closed {
  readonly kind: "closed";
  /** protocol/closed-codes.ts; a later version may know more. */
  readonly code: number;
  readonly message: string;
}

/** What became of a member: part of the log, or with offset 0 one line of who is there. */
export interface PresenceChange {
  readonly kind: "presence";
  readonly offset: number;
  readonly member: number;
  readonly state: Presence;
  readonly user: string;
}

/** The offsets `from`..`to` can no longer be replayed: an upper bound, messages to others count too. */
export interface Gap {
  readonly kind: "gap";
  readonly from: number;
  readonly to: number;
}
