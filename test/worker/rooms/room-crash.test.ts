import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { createSession } from "../routes/edge-client.ts";
import { newRoom, roomObject } from "./room-object.ts";
import { joinPacket, RoomPlayer } from "./room-player.ts";

/** The room asks for the time when a message comes, when its turn begins, and behind the turn. */
const CLOCK_CALLS = { turn: 2, afterTurn: 3 };

/** Has something happen when the room asks for the time for the `nth` time from now. */
async function atClockCall(room: string, nth: number, act: (state: DurableObjectState) => void): Promise<void> {
  await runInDurableObject(roomObject(room), (object, state) => {
    let calls = 0;
    object.nowMs = () => {
      calls += 1;
      if (calls === nth) act(state);
      return Date.now();
    };
  });
}

/** A player whose first message is acknowledged. */
async function joinAndSayOne(room: string) {
  const { token } = await createSession();
  const player = await RoomPlayer.join(room, token);
  const { epoch } = await player.first("joined");
  player.publish(1, "one");
  await player.until(() => player.all("ack").at(-1)?.position === 1);
  return { player, token, epoch };
}

describe("a room that crashes", () => {
  it("within a transaction keeps nothing of the transaction", async () => {
    const room = newRoom();
    const { player, token, epoch } = await joinAndSayOne(room);
    await atClockCall(room, CLOCK_CALLS.turn, () => {
      throw new Error("a bug");
    });
    player.publish(2, "two");
    await player.until(() => player.closeCode !== undefined);
    const back = await RoomPlayer.dial(room, token);
    back.send(joinPacket(room, { epoch, delivered: 0, attempt: 2 }));
    expect(await back.first("joined")).toMatchObject({ resumed: true, received: 1 });
    back.publish(2, "two");
    expect(await back.heard(2)).toEqual(["one", "two"]);
  });

  it("before a transaction is committed has sent nothing of it", async () => {
    const room = newRoom();
    const { player, token, epoch } = await joinAndSayOne(room);
    await atClockCall(room, CLOCK_CALLS.afterTurn, (state) => state.abort("crashed"));
    player.publish(2, "two");
    await player.until(() => player.closeCode !== undefined);
    expect(player.said).toEqual(["one"]);
    const back = await RoomPlayer.dial(room, token);
    back.send(joinPacket(room, { epoch, delivered: 0, attempt: 2 }));
    const { received } = await back.first("joined");
    // Whether the write was kept is open; the player sends it again, and it is there once.
    if (received === 1) back.publish(2, "two");
    expect(await back.heard(2)).toEqual(["one", "two"]);
    await back.until(() => back.all("ack").at(-1)?.position === 2);
  });
});
