import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Bindings } from "../../../worker/app-env.ts";
import { type DoubtfulSessions, type WatchedRoom, WatchedRooms } from "../../../worker/events/watched-rooms.ts";
import { openIsolate } from "../../../worker/isolate.ts";
import type { LogPage, LogRead } from "../../../worker/session-store/session-log.ts";
import { askAsService, createSession } from "../routes/edge-client.ts";

const bindings = env as unknown as Bindings;

/** The hub's side of rooms, on a SQLite of its own and the real log; the rooms only note what they are told. */
class Stage {
  readonly told: { readonly room: string; readonly sessions: DoubtfulSessions }[] = [];
  readonly reads: LogRead[] = [];
  readonly sql: SqlStorage;
  rooms: WatchedRooms;
  /** What a room does when it is told. */
  onTold: (room: string) => Promise<boolean> = async () => true;
  /** Pages that are served before those of the log. */
  readonly pages: LogPage[] = [];

  constructor(sql: SqlStorage) {
    this.sql = sql;
    this.rooms = this.#open();
  }

  /** The hub has lost its memory. */
  restart(): void {
    this.rooms = this.#open();
  }

  /** What a room was told, without the other rooms. */
  toldTo(room: string): DoubtfulSessions[] {
    return this.told.filter((call) => call.room === room).map(({ sessions }) => sessions);
  }

  get storedPosition(): string {
    return this.sql.exec<{ position: string }>("SELECT position FROM rooms_told").one().position;
  }

  #open(): WatchedRooms {
    const { store } = openIsolate(bindings);
    const recheck = (room: string): WatchedRoom["recheck"] => {
      return async (sessions) => {
        this.told.push({ room, sessions });
        return this.onTold(room);
      };
    };
    return new WatchedRooms({
      sql: this.sql,
      store: {
        readLog: async (read) => {
          this.reads.push(read);
          return this.pages.shift() ?? store.readLog(read);
        },
      },
      room: (name) => ({ recheck: recheck(name) }),
      background: () => {},
    });
  }
}

let stages = 0;

/** Runs the test in a Durable Object that no other test has. */
function onStage(run: (stage: Stage) => Promise<void>): () => Promise<void> {
  return async () => {
    stages += 1;
    const object = bindings.EVENT_HUB.getByName(`stage-${stages}`);
    await runInDurableObject(object, (_, state) => run(new Stage(state.storage.sql)));
  };
}

function end(sessid: number): Promise<Response> {
  return askAsService("DELETE", `/v1/sessions/${sessid}`);
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("the watched rooms", () => {
  it(
    "tell a room of the end of a session in it, with its reason, and no other room",
    onStage(async ({ rooms, toldTo, told, ...stage }) => {
      const [kim, lee] = [await createSession(), await createSession()];
      await rooms.watch("kitchen", [kim.sessid], "all");
      await rooms.watch("garden", [lee.sessid], "more");
      await end(kim.sessid);
      await rooms.read();
      expect(told).toEqual([{ room: "kitchen", sessions: new Map([[kim.sessid, "deleted"]]) }]);
      expect(stage.reads.every(({ kinds }) => kinds?.has("began") === false)).toBe(true);
    }),
  );

  it(
    "tell every room that a session is in, and a change without a reason",
    onStage(async ({ rooms, told }) => {
      const { sessid, user } = await createSession();
      for (const room of ["kitchen", "garden"]) await rooms.watch(room, [sessid], "more");
      await askAsService("POST", "/v1/sessions", { sessid, user, grants: ["room:kitchen"] });
      await rooms.read();
      const sessions = new Map([[sessid, null]]);
      expect(told.sort((a, b) => a.room.localeCompare(b.room))).toEqual([
        { room: "garden", sessions },
        { room: "kitchen", sessions },
      ]);
    }),
  );

  it(
    "tell nothing of sessions that have left the room",
    onStage(async ({ rooms, told }) => {
      const [kim, lee] = [await createSession(), await createSession()];
      await rooms.watch("kitchen", [kim.sessid, lee.sessid], "more");
      await rooms.watch("kitchen", [lee.sessid], "all");
      await end(kim.sessid);
      await rooms.read();
      expect(told).toEqual([]);
    }),
  );

  it(
    "read nothing while no session is in a room",
    onStage(async ({ rooms, reads }) => {
      await rooms.read();
      await rooms.watch("kitchen", [1], "more");
      const before = reads.length;
      await rooms.watch("kitchen", [], "all");
      await rooms.read();
      expect(reads.length).toBe(before);
      // What happened meanwhile concerns nobody who comes later.
      await rooms.watch("kitchen", [2], "more");
      expect(reads.slice(before).map(({ after }) => after)).toEqual([null]);
    }),
  );

  it(
    "say that they watch when the first session enters a room, and again when that is 45 s ago",
    onStage(async ({ rooms, reads }) => {
      const startMs = Date.now();
      const clock = vi.spyOn(Date, "now").mockReturnValue(startMs);
      await rooms.watch("kitchen", [1], "more");
      await rooms.watch("kitchen", [2], "more");
      await rooms.read();
      expect(reads.map(({ watchMs }) => watchMs)).toEqual([150_000, undefined]);
      clock.mockReturnValue(startMs + 45_000);
      await rooms.watch("kitchen", [1, 2], "all");
      expect(reads.map(({ watchMs }) => watchMs)).toEqual([150_000, undefined, 150_000]);
    }),
  );

  it(
    "share one read among all who ask at once",
    onStage(async ({ rooms, reads }) => {
      await rooms.watch("kitchen", [1], "more");
      const before = reads.length;
      await Promise.all(Array.from({ length: 50 }, () => rooms.read()));
      expect(reads.length).toBe(before + 1);
    }),
  );

  it(
    "know after a restart who is where, and read what they have missed",
    onStage(async (stage) => {
      const { sessid } = await createSession();
      await stage.rooms.watch("kitchen", [sessid], "more");
      stage.restart();
      await end(sessid);
      await stage.rooms.read();
      expect(stage.toldTo("kitchen")).toEqual([new Map([[sessid, "deleted"]])]);
    }),
  );

  it(
    "tell a room of somebody who entered it while it answered that nobody was there",
    onStage(async (stage) => {
      const [left, entered] = [await createSession(), await createSession()];
      await stage.rooms.watch("kitchen", [left.sessid], "more");
      const answer = Promise.withResolvers<boolean>();
      stage.onTold = () => answer.promise;
      await end(left.sessid);
      await stage.rooms.read();
      await stage.rooms.watch("kitchen", [entered.sessid], "more");
      const before = stage.storedPosition;
      stage.onTold = async () => true;
      answer.resolve(false);
      await vi.waitFor(() => expect(stage.storedPosition).not.toBe(before));
      await end(entered.sessid);
      await stage.rooms.read();
      expect(stage.toldTo("kitchen")).toContainEqual(new Map([[entered.sessid, "deleted"]]));
    }),
  );

  it(
    "tell a room again if they were restarted between the read and the room's answer",
    onStage(async (stage) => {
      const { sessid } = await createSession();
      await stage.rooms.watch("kitchen", [sessid], "more");
      stage.onTold = () => new Promise(() => {});
      await end(sessid);
      await stage.rooms.read();
      const before = stage.storedPosition;
      stage.restart();
      stage.onTold = async () => true;
      await stage.rooms.read();
      expect(stage.toldTo("kitchen")).toEqual([new Map([[sessid, "deleted"]]), new Map([[sessid, "deleted"]])]);
      await vi.waitFor(() => expect(stage.storedPosition).not.toBe(before));
      stage.restart();
      await stage.rooms.read();
      expect(stage.toldTo("kitchen")).toHaveLength(2);
    }),
  );

  it(
    "tell a room again that had not answered when they were restarted, though others had, and though they have read on since",
    onStage(async (stage) => {
      const startMs = Date.now();
      const clock = vi.spyOn(Date, "now").mockReturnValue(startMs);
      const { sessid } = await createSession();
      for (const room of ["kitchen", "garden"]) await stage.rooms.watch(room, [sessid], "more");
      stage.onTold = (room) => (room === "kitchen" ? new Promise(() => {}) : Promise.resolve(true));
      await end(sessid);
      await stage.rooms.read();
      clock.mockReturnValue(startMs + 45_000);
      await stage.rooms.read();
      stage.restart();
      await stage.rooms.read();
      expect(stage.toldTo("kitchen")).toEqual([new Map([[sessid, "deleted"]]), new Map([[sessid, "deleted"]])]);
    }),
  );

  it(
    "tell every room that anything may have happened if their position is not in the log any more",
    onStage(async (stage) => {
      for (const room of ["kitchen", "garden"]) await stage.rooms.watch(room, [1], "more");
      const position = "the log's end";
      stage.pages.push({ kind: "reset", position });
      await stage.rooms.read();
      expect(stage.told.map(({ room, sessions }) => [room, sessions]).sort()).toEqual([
        ["garden", null],
        ["kitchen", null],
      ]);
      await stage.rooms.read();
      expect(stage.reads.at(-1)?.after).toBe(position);
    }),
  );

  it(
    "read again from where they were after the store could not be read",
    onStage(async (stage) => {
      const { sessid } = await createSession();
      await stage.rooms.watch("kitchen", [sessid], "more");
      await end(sessid);
      stage.pages.push({ kind: "unavailable" });
      await stage.rooms.read();
      expect(stage.told).toEqual([]);
      await stage.rooms.read();
      expect(stage.toldTo("kitchen")).toEqual([new Map([[sessid, "deleted"]])]);
    }),
  );

  it(
    "forget a room in which nobody is",
    onStage(async (stage) => {
      const { sessid } = await createSession();
      await stage.rooms.watch("kitchen", [sessid, 2], "more");
      stage.onTold = async () => false;
      await end(sessid);
      await stage.rooms.read();
      await vi.waitFor(() => expect(stage.sql.exec("SELECT * FROM room_sessions").toArray()).toEqual([]));
    }),
  );

  it(
    "tell other rooms while one does not answer, and that one what has come up, once it has answered or failed",
    onStage(async (stage) => {
      const [kim, lee] = [await createSession(), await createSession()];
      await stage.rooms.watch("kitchen", [kim.sessid, lee.sessid], "more");
      await stage.rooms.watch("garden", [lee.sessid], "more");
      const answer = Promise.withResolvers<boolean>();
      stage.onTold = (room) => (room === "kitchen" ? answer.promise : Promise.resolve(true));
      await end(kim.sessid);
      await stage.rooms.read();
      await end(lee.sessid);
      await stage.rooms.read();
      expect(stage.toldTo("garden")).toEqual([new Map([[lee.sessid, "deleted"]])]);
      expect(stage.toldTo("kitchen")).toEqual([new Map([[kim.sessid, "deleted"]])]);
      answer.reject(new Error("overloaded"));
      await vi.waitFor(() => expect(stage.toldTo("kitchen")).toHaveLength(2));
      expect(stage.toldTo("kitchen")[1]).toEqual(new Map([[lee.sessid, "deleted"]]));
    }),
  );

  it(
    "tell a room of a reset that came while it did not answer, though another session has ended since",
    onStage(async (stage) => {
      const [kim, lee] = [await createSession(), await createSession()];
      await stage.rooms.watch("kitchen", [kim.sessid, lee.sessid], "more");
      const answer = Promise.withResolvers<boolean>();
      stage.onTold = () => answer.promise;
      await end(kim.sessid);
      await stage.rooms.read();
      stage.pages.push({ kind: "reset", position: stage.storedPosition });
      await stage.rooms.read();
      await end(lee.sessid);
      await stage.rooms.read();
      answer.resolve(true);
      await vi.waitFor(() => expect(stage.toldTo("kitchen")).toHaveLength(2));
      expect(stage.toldTo("kitchen")[1]).toBeNull();
    }),
  );

  it(
    "tell 64 rooms at once, each of all its ends in one call, however many end",
    onStage(async (stage) => {
      const sessions = await Promise.all(Array.from({ length: 200 }, () => createSession()));
      const sessids = sessions.map(({ sessid }) => sessid);
      for (let room = 0; room < 100; room++) {
        await stage.rooms.watch(`room-${room}`, sessids.slice(2 * room, 2 * room + 2), "more");
      }
      const answers: ((isOccupied: boolean) => void)[] = [];
      stage.onTold = () => new Promise((resolve) => answers.push(resolve));
      await openIsolate(bindings).store.endAll();
      await stage.rooms.read();
      expect(stage.told).toHaveLength(64);
      while (answers.length > 0) {
        answers.shift()?.(true);
        await scheduler.wait(0);
      }
      expect(new Set(stage.told.map(({ room }) => room)).size).toBe(100);
      expect(stage.told.flatMap(({ sessions: ended }) => [...(ended?.keys() ?? [])]).sort()).toEqual(sessids.sort());
    }),
  );
});
