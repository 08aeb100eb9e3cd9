import type { Join } from "../../protocol/player-packets.ts";
import { formatToken } from "../../protocol/session-token.ts";
import { RoomPath, type RoomPathEvents } from "./room-path.ts";

/** Where the rooms are. */
export interface RoomPathsOptions {
  /** The edge; only its origin and path count. */
  readonly edgeUrl: URL;
  /** For the connection and the upgrade. */
  readonly timeoutMs: number;
}

/** Opens the players' paths to their rooms. */
export class RoomPaths {
  readonly #base: string;
  readonly #timeoutMs: number;
  readonly #open = new Set<RoomPath>();

  constructor({ edgeUrl, timeoutMs }: RoomPathsOptions) {
    this.#base = `${edgeUrl.origin}${edgeUrl.pathname.replace(/\/$/, "")}`;
    this.#timeoutMs = timeoutMs;
  }

  /** Begins to connect to the room of a Join, as the session that it names. */
  open({ room, token }: Join, events: RoomPathEvents): RoomPath {
    const url = new URL(`${this.#base}/v1/rooms/${room}/socket`);
    const path = new RoomPath(url, formatToken(token), this.#timeoutMs, events);
    this.#open.add(path);
    void path.ended.then(() => this.#open.delete(path));
    return path;
  }

  /** Ends what is still open, after what was written; within 1 s. */
  async close(): Promise<void> {
    const paths = [...this.#open];
    for (const path of paths) path.close();
    await Promise.all(paths.map(({ ended }) => ended));
  }
}
