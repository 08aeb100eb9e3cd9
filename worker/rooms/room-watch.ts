import type { EventHubCalls } from "../isolate.ts";
import { settledWithin } from "../session-store/session-store.ts";

export interface RoomWatchOptions {
  readonly room: string;
  /** The event hub. A stub serves one call: after an error it stays broken. */
  readonly hub: () => Pick<EventHubCalls, "watchRoom">;
  /** The sessions that are in the room now. */
  readonly sessids: () => ReadonlySet<number>;
  /** The hub watches these sessions from now on; what became of them before is to be asked. */
  readonly onWatched: (sessids: ReadonlySet<number>) => Promise<void>;
  /** Keeps the Durable Object alive until the promise is settled. */
  readonly background: (work: Promise<unknown>) => void;
}

/** A hub that does not respond for so long is left alone until the next check of all members. */
const HUB_DEADLINE_MS = 2_000;

/** However many enter, a room calls the hub at most ten times a second. */
const CALL_SPACING_MS = 100;

/**
 * Tells the event hub whose ends and changes a room must hear of. Calls follow each other, so that the last is what the hub knows;
 * sessions that enter meanwhile share the next one.
 */
export class RoomWatch {
  readonly #room: string;
  readonly #hub: RoomWatchOptions["hub"];
  readonly #sessids: RoomWatchOptions["sessids"];
  readonly #onWatched: RoomWatchOptions["onWatched"];
  readonly #background: RoomWatchOptions["background"];
  /** The sessions that the hub knows, or will by a call that waits. The room may lose this, and then tells the hub again. */
  #known = new Set<number>();
  /** Those of them that wait for the next call. */
  #waiting = new Set<number>();
  #free: Promise<unknown> = Promise.resolve();

  constructor({ room, hub, sessids, onWatched, background }: RoomWatchOptions) {
    this.#room = room;
    this.#hub = hub;
    this.#sessids = sessids;
    this.#onWatched = onWatched;
    this.#background = background;
  }

  /** A connection of this session has come. */
  add(sessid: number): void {
    if (this.#known.has(sessid)) return;
    this.#known.add(sessid);
    this.#waiting.add(sessid);
    if (this.#waiting.size === 1) this.#background(this.#inTurn(() => this.#callForWaiting()));
  }

  /** The room has heard of these sessions, or of all: a connection that comes later may have been admitted before that. */
  forget(sessids: Iterable<number> = this.#known): void {
    for (const sessid of sessids) this.#known.delete(sessid);
  }

  /** Tells the hub again who is in the room. Resolves when it knows, or does not respond. */
  tellAll(): Promise<void> {
    return this.#inTurn(async () => {
      this.#known = new Set(this.#sessids());
      if (!(await this.#call(this.#known, "all"))) this.#known.clear();
    });
  }

  async #callForWaiting(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    if (await this.#call(waiting, "more")) this.#background(this.#onWatched(waiting));
    else this.forget(waiting);
  }

  async #call(sessids: ReadonlySet<number>, which: "more" | "all"): Promise<boolean> {
    const called = this.#hub().watchRoom(this.#room, [...sessids], which);
    return (
      (await settledWithin(
        HUB_DEADLINE_MS,
        called.then(() => true),
      )) ?? false
    );
  }

  #inTurn(call: () => Promise<void>): Promise<void> {
    const called = this.#free.then(call);
    const pause = (): Promise<void> => scheduler.wait(CALL_SPACING_MS);
    this.#free = called.then(pause, pause);
    return called;
  }
}
