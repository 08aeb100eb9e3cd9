/** Bytes of a message, as a position with a little state is. */
export const BODY_BYTES = 64;

/** One player of a load. */
export interface RoomMember {
  /** Says the player's next messages, as one write. */
  speak(count: number): void;
  stop(): Promise<void>;
}

/** What a player tells its load. */
export interface MemberEvents {
  /** So many messages were delivered; `own` of them are the player's own. */
  delivered(messages: number, own: number): void;
}
