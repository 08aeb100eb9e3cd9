/** A member, as content code sees it. */
export interface RoomMember {
  /** The player's number in this room: none has it twice while the room is kept. */
  readonly member: number;
  readonly user: string;
  /** false while the connection is lost and the seat is held. */
  readonly connected: boolean;
}

/** A reliable message from a member. */
export interface RoomMessage {
  /** 0 is everybody in the room, else one member. */
  readonly to: number;
  readonly body: Uint8Array;
}

/** What a room tells its content code. Each is called in the turn in which it happened; none may wait for anything. */
export interface RoomHooks {
  /** A member came, or came back. */
  onConnected(member: RoomMember, how: "joined" | "resumed"): void;
  /** A member's connection is lost and its seat is held, or it is gone for good. */
  onDisconnected(member: RoomMember, how: "held" | "left"): void;
  /** A member's message arrived, once each and in its order; it is durable together with what the hook does. */
  onReceive(from: RoomMember, message: RoomMessage): void;
  /** A member has acknowledged what was sent to it, up to this offset. */
  onSent(to: RoomMember, offset: number): void;
}
