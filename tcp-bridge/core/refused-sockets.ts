import type { Socket } from "node:net";

/** A refused peer has this long to read why. */
const LINGER_MS = 1_000;

/** So many may linger at once; in a flood the rest is closed without a word. */
export const MAX_LINGERING = 64;

/** The connections that were refused and are still being told why. */
export class RefusedSockets {
  readonly #lingering = new Set<Socket>();

  /** Sends the last bytes and closes. */
  end(socket: Socket, lastBytes: Uint8Array): void {
    socket.on("error", () => socket.destroy());
    if (this.#lingering.size >= MAX_LINGERING) {
      socket.destroy();
      return;
    }
    this.#lingering.add(socket);
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once("close", () => {
      clearTimeout(timer);
      this.#lingering.delete(socket);
    });
    // What it has sent is read and dropped: closing over unread bytes would reset the connection and lose the answer.
    socket.resume();
    socket.end(lastBytes);
  }

  destroyAll(): void {
    for (const socket of this.#lingering) socket.destroy();
  }
}
