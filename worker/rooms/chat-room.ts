import { Room } from "./room.ts";
import type { RoomMember, RoomMessage } from "./room-hooks.ts";

/**
 * The built-in room, and the shortest one.
 *
 * What every room does by itself: to enter is to join, and whoever enters is told who is there and what was said before;
 * the others are told who came, whose connection is lost, who is back and who left. What this one adds is to pass on what a
 * member says: to everybody, the member itself included, or to the one member that it is for.
 *
 * A message to a member who is not there any more is kept like any other, and its sender gets it back: it cannot know
 * better than the room in what order things happened.
 */
export class ChatRoom extends Room {
  protected override onReceive(from: RoomMember, { to, body }: RoomMessage): void {
    this.post(from.member, to, body);
  }
}
