import type { Socket } from "node:net";
import type { Place } from "./admission.ts";
import type { ConnectionLimits, DisconnectCode } from "./connection-limits.ts";

/** What a {@link Listener} gives to the session that it makes for a connection. */
export interface SessionContext {
  /** Unique in its listener. */
  readonly id: number;
  readonly socket: Socket;
  /** What limits count its peer by (addressKey of core/address-book.ts). */
  readonly address: string;
  /** The peer has shown a certificate of the port's authority: it is known. */
  readonly isKnown: boolean;
  /** The connection keeps its place, or may lose it to the next one (core/admission.ts). */
  readonly place: Pick<Place, "prove" | "doubt">;
  readonly limits: ConnectionLimits;
  /** Told of what a callback threw, and of why a session ended. */
  readonly onFault: (error: unknown) => void;
  readonly onClosed: (session: Session, code: DisconnectCode) => void;
}

/** After the last byte was sent, the peer has this long to close its side. */
const LINGER_MS = 2_000;

/**
 * One accepted connection. A port's protocol is a subclass with its callbacks; a callback that throws ends its own
 * connection and no other. Backpressure works both ways: who reads slowly is read from slowly, and
 * {@link pauseReading} leaves what the peer sends in the network.
 */
export abstract class Session {
  readonly id: number;
  readonly address: string;
  readonly #context: SessionContext;
  readonly #socket: Socket;
  #state: "open" | "ended" | "disconnected" = "open";
  #proven = false;
  /** Why {@link end} was called. */
  #endCode: DisconnectCode = "finished";
  #readingPaused = false;
  #outputFull = false;
  #corked = false;
  #lastActivityMs = performance.now();
  /** Since when the system has not taken a byte of what waits for the peer; 0 if nothing waits. */
  #unreadSinceMs = 0;
  /** When all was sent and the peer's end began to be awaited; 0 before. */
  #lingerSinceMs = 0;

  constructor(context: SessionContext) {
    this.id = context.id;
    this.address = context.address;
    this.#context = context;
    this.#socket = context.socket;
  }

  /** The connection is there; called once, before any other callback. */
  protected onConnected(): void {}

  /** Bytes came. The chunk belongs to the session: nobody changes it later. */
  protected abstract onReceive(chunk: Uint8Array): void;

  /** The peer will send no more; it may still read. */
  protected onReceiveEnd(): void {
    this.end();
  }

  /** The system has taken everything that was given to {@link send}. */
  protected onSent(): void {}

  /** The peer has taken none of what waits for it for `unreadMs`: it may be told, and is disconnected soon in any case. */
  protected onUnread(): void {
    this.disconnect("unread_responses");
  }

  /** The connection is over; called once, as the last callback. */
  protected onDisconnected(_code: DisconnectCode): void {}

  /** Time for the limits that need a clock; called about once a second. */
  protected onSweep(_nowMs: number): void {}

  /** Answers what has been received, takes no more, then ends. */
  abstract drain(): void;

  /** Whether {@link pauseReading} or unread output keeps the peer's bytes in the network. */
  protected get reading(): boolean {
    return !this.#readingPaused && !this.#outputFull;
  }

  /** Whether the peer keeps up: false until {@link onSent} if what was given to {@link send} piles up. */
  protected get writable(): boolean {
    return !this.#outputFull;
  }

  /** Whether the peer has shown a certificate of the port's authority. */
  protected get isKnown(): boolean {
    return this.#context.isKnown;
  }

  /** The peer has shown what silence cannot: its connection keeps its place when the port is full. */
  protected prove(): void {
    if (this.#proven) return;
    this.#proven = true;
    this.#context.place.prove();
  }

  /** What the peer has shown is too long ago: its place may be taken, until {@link prove} is called again. */
  protected doubt(): void {
    if (!this.#proven) return;
    this.#proven = false;
    this.#context.place.doubt();
  }

  /** For how long nothing was received or sent. */
  protected quietMs(nowMs: number): number {
    return nowMs - this.#lastActivityMs;
  }

  /** Called by the listener, once. */
  start(): void {
    const socket = this.#socket;
    if (this.#context.isKnown) this.prove();
    socket.on("data", (chunk: Buffer) => {
      this.#lastActivityMs = performance.now();
      if (this.#state === "open") this.guard(() => this.onReceive(chunk));
    });
    socket.on("end", () => {
      if (this.#state === "open") this.guard(() => this.onReceiveEnd());
    });
    socket.on("drain", () => {
      this.#outputFull = false;
      this.#applyReading();
    });
    socket.on("finish", () => {
      this.#lingerSinceMs = performance.now();
    });
    socket.on("error", () => this.disconnect("reset"));
    socket.on("close", () => this.disconnect(this.#state === "ended" ? this.#endCode : "reset"));
    this.guard(() => this.onConnected());
  }

  /** Sends bytes, which must not change later. What one turn sends leaves as one write. */
  send(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    const socket = this.#socket;
    if (!this.#corked) {
      this.#corked = true;
      socket.cork();
      process.nextTick(uncork, this);
    }
    this.#lastActivityMs = performance.now();
    if (this.#unreadSinceMs === 0) this.#unreadSinceMs = this.#lastActivityMs;
    this.#outputFull = !socket.write(bytes, this.#onWritten);
    if (socket.writableLength > this.#context.limits.maxUnreadBytes) this.disconnect("unread_responses");
    else if (this.#outputFull) this.#applyReading();
  }

  protected pauseReading(): void {
    if (this.#readingPaused) return;
    this.#readingPaused = true;
    this.#applyReading();
  }

  protected resumeReading(): void {
    if (!this.#readingPaused) return;
    this.#readingPaused = false;
    this.#applyReading();
  }

  /** Ends the connection when all that was given to {@link send} has left; what the peer still sends is ignored. */
  end(code: DisconnectCode = "finished"): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#endCode = code;
    this.#socket.end();
    // The peer's bytes are read and dropped: closing over unread bytes would reset the connection and lose the last answers.
    this.#applyReading();
  }

  /** Ends the connection at once. Idempotent; the first code counts. */
  disconnect(code: DisconnectCode): void {
    if (this.#state === "disconnected") return;
    this.#state = "disconnected";
    this.#socket.destroy();
    try {
      this.onDisconnected(code);
    } catch (error) {
      this.#context.onFault(error);
    }
    this.#context.onClosed(this, code);
  }

  /** Called by the listener about once a second: one timer for all connections instead of several for each. */
  sweep(nowMs: number): void {
    const { idleMs, writeStallTimeoutMs: unreadMs } = this.#context.limits;
    if (this.#unreadSinceMs > 0 && nowMs - this.#unreadSinceMs > unreadMs) this.#unread();
    else if (this.#lingerSinceMs > 0 && nowMs - this.#lingerSinceMs > LINGER_MS) this.disconnect(this.#endCode);
    else if (this.quietMs(nowMs) > idleMs) this.disconnect("idle");
    else if (this.#state === "open") this.guard(() => this.onSweep(nowMs));
  }

  #unread(): void {
    if (this.#state === "open") this.guard(() => this.onUnread());
    else this.disconnect("unread_responses");
  }

  readonly #onWritten = (): void => {
    // The writes of one turn are done together: the first callback sees it, the others have nothing to add.
    if (this.#unreadSinceMs === 0) return;
    const done = this.#socket.writableLength === 0;
    this.#unreadSinceMs = done ? 0 : performance.now();
    if (done && this.#state === "open") this.guard(() => this.onSent());
  };

  #applyReading(): void {
    if (this.reading || this.#state === "ended") this.#socket.resume();
    else this.#socket.pause();
  }

  /** Runs code of this session: what it throws ends this connection and nothing else. */
  protected guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#context.onFault(error);
      this.disconnect("fault");
    }
  }

  /** For {@link uncork} alone, which needs no closure for each turn. */
  static uncork(session: Session): void {
    session.#corked = false;
    session.#socket.uncork();
  }
}

const uncork = Session.uncork;
