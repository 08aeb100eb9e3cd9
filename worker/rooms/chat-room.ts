import { Room } from "./room.ts";
import type { RoomMember, RoomMessage } from "./room-hooks.ts";

/** The built-in room: who is there is told by every room; this one passes on what is said, to everybody or to one. */
export class ChatRoom extends Room {
  protected override onReceive(from: RoomMember, { to, body }: RoomMessage): void {
    this.post(from.member, to, body);
  }
}
