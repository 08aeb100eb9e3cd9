import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { type PlayerPacket, writePlayerPacket } from "../../../protocol/player-packets.ts";
import type { ChatRoom } from "../../../worker/rooms/room.ts";
import type { RoomAttachment } from "../../../worker/rooms/room-sockets.ts";
import { joinAs, newRoom, roomObject } from "./room-object.ts";

function messageOf(packet: PlayerPacket): ArrayBuffer {
  const writer = new ByteWriter();
  writePlayerPacket(writer, packet);
  return writer.finish().slice().buffer;
}

function userOf(socket: WebSocket): string {
  return (socket.deserializeAttachment() as RoomAttachment).credential.user;
}

/** What a service is told of a room in which lee's Leave has come, and waits for the room to be done with kim's packet. */
async function askWhileLeaving<T>(service: (object: ChatRoom, room: string) => T): Promise<T> {
  const room = newRoom();
  await joinAs(room, "kim");
  await joinAs(room, "lee");
  return runInDurableObject(roomObject(room), (object, state) => {
    const socketOf = (member: string) => {
      const socket = state.getWebSockets().find((each) => userOf(each) === member);
      if (socket === undefined) throw new Error(`${member} has no socket`);
      return socket;
    };
    const [kim, lee] = [socketOf("kim"), socketOf("lee")];
    void object.webSocketMessage(kim, messageOf({ kind: "ping", nonce: 1 }));
    const leaving = object.webSocketMessage(lee, messageOf({ kind: "leave" }));
    // Otherwise nothing was waiting.
    expect(leaving).toBeInstanceOf(Promise);
    return service(object, room);
  });
}

describe("a service that calls while a member's Leave waits in the inbox", () => {
  it("does not see the member in the room", async () => {
    const { members } = await askWhileLeaving((object) => object.inspect());
    expect(members.map(({ user }) => user)).toEqual(["kim"]);
  });

  it("cannot post to the member", async () => {
    expect(await askWhileLeaving((object, room) => object.postAsServer(room, 2, new Uint8Array(1)))).toBeUndefined();
  });

  it("cannot remove the member", async () => {
    expect(await askWhileLeaving((object) => object.removeMember(2))).toBe(false);
  });
});
