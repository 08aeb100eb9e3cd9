import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { Presence } from "../../../protocol/player-packets.ts";
import type { RoomStorage } from "../../../protocol/reliable/room/room-core.ts";
import type { LogEntry } from "../../../protocol/reliable/room/room-log.ts";
import { SqliteRoomStorage } from "../../../worker/rooms/sqlite-room-storage.ts";
import { MemoryRoomStorage } from "../../support/rooms/memory-room-storage.ts";
import { newRoom, roomObject } from "./room-object.ts";

const BOUNDS = { maxEntries: 20, maxBytes: 3000, maxAgeMs: 10_000, neededMs: 5_000, maxNeededBytes: 9_000 };

const nobody = () => ({ connected: Number.POSITIVE_INFINITY, held: Number.POSITIVE_INFINITY });

/** Members who are so far behind: of each kind at times. */
function somebody({ offset }: LogEntry) {
  const behind = (entries: number, pauses: number) =>
    offset % pauses < pauses / 2 ? offset - entries : Number.POSITIVE_INFINITY;
  return () => ({ connected: behind(40, 50), held: behind(60, 90) });
}

/** Runs in an object without a room, with a storage of its own. */
function withStorage(test: (storage: SqliteRoomStorage, durable: DurableObjectStorage) => void): Promise<void> {
  return runInDurableObject(roomObject(newRoom()), (_, { storage }) => {
    test(SqliteRoomStorage.create(storage, "lobby", 1000), storage);
  });
}

/** A log of messages to all, to some, and presences, with bodies of many sizes, and pauses. */
function entries(count: number): LogEntry[] {
  let atMs = 1000;
  return Array.from({ length: count }, (_, index) => {
    const offset = index + 1;
    atMs += index % 37 === 36 ? 9_000 : 10;
    if (index % 7 === 3) return { kind: "presence", offset, member: 2, state: Presence.Held, user: "kim", atMs };
    const body = new Uint8Array((index * 53) % 400).fill(index);
    return { kind: "message", offset, from: index % 4, to: index % 5 === 0 ? 3 : 0, body, atMs };
  });
}

describe("SqliteRoomStorage", () => {
  it("keeps and trims the same log as the storage in memory, and reads it back", async () => {
    await withStorage((storage, durable) => {
      const memory = new MemoryRoomStorage(storage.epoch);
      let kept = storage;
      for (const entry of entries(200)) {
        const change = (log: RoomStorage) => {
          log.append(entry);
          log.trim(BOUNDS, entry.atMs, somebody(entry));
        };
        change(memory);
        kept.transaction(() => change(kept));
        if (entry.offset % 17 === 0) kept = SqliteRoomStorage.find(durable) ?? kept;
        expect([kept.head, kept.first, kept.bytes]).toEqual([memory.head, memory.first, memory.bytes]);
        for (const member of [1, 3]) {
          expect(kept.read(entry.offset - 10, member, 6)).toEqual(memory.read(entry.offset - 10, member, 6));
        }
        for (const count of [0, 1, 5, 50]) expect(kept.historyStart(count)).toBe(memory.historyStart(count));
      }
      expect(durable.sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM log").one().n).toBe(memory.length);
    });
  });

  it("shows a transaction its own changes", async () => {
    await withStorage((storage) => {
      const memory = new MemoryRoomStorage(storage.epoch);
      storage.transaction(() => {
        for (const entry of entries(200)) {
          for (const log of [storage, memory]) {
            log.append(entry);
            log.trim(BOUNDS, entry.atMs, nobody);
          }
          if (entry.offset % 29 !== 0) continue;
          expect([storage.head, storage.first]).toEqual([memory.head, memory.first]);
          expect(storage.read(entry.offset - 40, 3, 30)).toEqual(memory.read(entry.offset - 40, 3, 30));
          expect(storage.historyStart(5)).toBe(memory.historyStart(5));
        }
      });
      expect(storage.read(0, 1, 200)).toEqual(memory.read(0, 1, 200));
    });
  });

  it("never gives an offset twice, even after the whole log was trimmed", async () => {
    await withStorage((storage, durable) => {
      storage.transaction(() => {
        for (const entry of entries(5)) storage.append(entry);
        storage.trim(BOUNDS, 1_000_000, nobody);
      });
      const again = SqliteRoomStorage.find(durable);
      expect([again?.head, again?.first]).toEqual([5, 6]);
    });
  });

  it("keeps epoch, name, seats and the next member's number", async () => {
    await withStorage((storage, durable) => {
      const seat = { member: 1, session: "1.a", user: "kim", start: 3, received: 7, attempt: 2, heldSinceMs: null };
      const other = { ...seat, member: 2, heldSinceMs: 1234 };
      storage.transaction(() => {
        storage.saveSeat({ ...seat, received: 6 });
        storage.saveSeat(seat);
        storage.saveSeat(other);
        storage.saveSeat({ ...seat, member: 3 });
        storage.deleteSeat(3);
        expect([storage.takeMemberNumber(), storage.takeMemberNumber()]).toEqual([1, 2]);
      });
      const again = SqliteRoomStorage.find(durable);
      expect(again?.loadSeats()).toEqual([seat, other]);
      expect(again?.takeMemberNumber()).toBe(3);
      expect(again?.epoch).toBe(storage.epoch);
      expect(again?.record.name).toBe("lobby");
      expect(Number.isSafeInteger(storage.epoch) && storage.epoch > 0).toBe(true);
    });
  });

  it("commits all of a transaction or none of it", async () => {
    await withStorage((storage, durable) => {
      const seat = { member: 1, session: "1.a", user: "kim", start: 0, received: 0, attempt: 1, heldSinceMs: null };
      const failing = () =>
        storage.transaction(() => {
          storage.saveSeat(seat);
          for (const entry of entries(3)) storage.append(entry);
          throw new Error("a bug");
        });
      expect(failing).toThrow("a bug");
      const again = SqliteRoomStorage.find(durable);
      expect([again?.head, again?.loadSeats()]).toEqual([0, []]);
    });
  });
});
