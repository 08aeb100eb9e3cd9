import type { Socket } from "node:net";
import { PacketDecoder, ProtocolError } from "../../protocol/packet-framing.ts";
import type { Place } from "./admission.ts";
import type { ConnectionLimits, DisconnectCode } from "./connection-limits.ts";

/** What a listener gives to a connection. */
export interface ConnectionContext {
  readonly socket: Socket;
  /** The address that limits count the peer by (addressKey of core/admission.ts). */
  readonly address: string;
  /** Whether the peer showed a certificate of the port's authority. */
  readonly isKnown: boolean;
  /** Proven, the connection keeps its place; otherwise it may lose it to the next one (core/admission.ts). */
  readonly place: Pick<Place, "prove" | "doubt">;
  readonly limits: ConnectionLimits;
  /** A callback of the connection threw. */
  readonly onFault: (error: unknown) => void;
  /** The connection ended. */
  readonly onClosed: (connection: Connection, code: DisconnectCode) => void;
}

/** How long the peer may take to close its side after the last byte was sent. */
const LINGER_MS = 2_000;

/**
 * One accepted connection. Each port has a subclass, which overrides the callbacks. A callback that throws ends its own connection
 * and no other. Backpressure works both ways: nothing is read from a peer that does not read, and {@link pauseReading} leaves what
 * the peer sends in the network.
 */
export abstract class Connection {
  readonly address: string;
  readonly #context: ConnectionContext;
  readonly #socket: Socket;
  #state: "open" | "ended" | "disconnected" = "open";
  #proven = false;
  /** Why {@link end} was called. */
  #endCode: DisconnectCode = "finished";
  #readingPaused = false;
  #outputFull = false;
  #corked = false;
  #lastActivityMs = performance.now();
  /** Since when the system has taken none of the bytes that wait for the peer; 0 if none wait. */
  #stalledSinceMs = 0;
  /** When all bytes were sent, so that only the peer's end is missing; 0 before. */
  #lingerSinceMs = 0;

  constructor(context: ConnectionContext) {
    this.address = context.address;
    this.#context = context;
    this.#socket = context.socket;
  }

  /** The connection started. Called once, before any other callback. */
  protected onConnected(): void {}

  /** Bytes arrived at `nowMs`. The chunk belongs to the connection and is not changed later. */
  protected abstract onReceive(chunk: Uint8Array, nowMs: number): void;

  /** The peer sends no more. It may still read. */
  protected onReceiveEnd(): void {
    this.end();
  }

  /** The system has taken all bytes that were passed to {@link send}. */
  protected onSent(): void {}

  /**
   * The peer has not read for `writeStallTimeoutMs`. By default it is disconnected. A subclass may send last bytes and call
   * {@link end}: if the peer reads none of them, it is disconnected in the next sweep.
   */
  protected onWriteStall(): void {
    this.disconnect("unread_responses");
  }

  /** The connection ended. Called once, as the last callback. */
  protected onDisconnected(_code: DisconnectCode): void {}

  /** Called about once a second, for limits that need a clock. */
  protected onSweep(_nowMs: number): void {}

  /** Responds to what has been received, receives no more, then ends. */
  abstract drain(): void;

  protected get limits(): ConnectionLimits {
    return this.#context.limits;
  }

  /** Whether the peer showed a certificate of the port's authority. */
  protected get isKnown(): boolean {
    return this.#context.isKnown;
  }

  /** Whether bytes are read from the peer: false after {@link pauseReading}, and while the peer does not read. */
  protected get reading(): boolean {
    return !this.#readingPaused && !this.#outputFull;
  }

  /** Whether the peer reads fast enough: false, until {@link onSent}, while too much waits to be sent. */
  protected get writable(): boolean {
    return !this.#outputFull;
  }

  /** The peer is worth its place: the connection keeps it when the port is full. */
  protected prove(): void {
    if (this.#proven) return;
    this.#proven = true;
    this.#context.place.prove();
  }

  /** The proof is too old: the connection may lose its place until {@link prove} is called again. */
  protected doubt(): void {
    if (!this.#proven) return;
    this.#proven = false;
    this.#context.place.doubt();
  }

  /** How long nothing was received or sent. */
  protected quietMs(nowMs: number): number {
    return nowMs - this.#lastActivityMs;
  }

  /** Called once, by the listener. */
  start(): void {
    const socket = this.#socket;
    if (this.#context.isKnown) this.prove();
    socket.on("data", (chunk: Buffer) => {
      const nowMs = performance.now();
      this.#lastActivityMs = nowMs;
      if (this.#state === "open") this.guard(() => this.onReceive(chunk, nowMs));
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

  /** Sends bytes, which must not change later. All bytes of one turn of the event loop are sent as one write. */
  send(bytes: Uint8Array): void {
    if (this.#state === "open" && !this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(uncork, this);
    }
    this.sendAtOnce(bytes, performance.now());
  }

  /** As {@link send}, but as a write of its own: cheaper if nothing else is sent in this turn. */
  protected sendAtOnce(bytes: Uint8Array, nowMs: number): void {
    if (this.#state !== "open") return;
    const socket = this.#socket;
    this.#lastActivityMs = nowMs;
    if (this.#stalledSinceMs === 0) this.#stalledSinceMs = nowMs;
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

  /** Ends the connection after everything passed to {@link send} was sent. What the peer still sends is ignored. */
  end(code: DisconnectCode = "finished"): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#endCode = code;
    this.#socket.end();
    // The peer's bytes are read and dropped: closing with unread bytes would reset the connection and lose the last responses.
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

  /** Called about once a second, by the listener: one timer for all connections instead of several for each. */
  sweep(nowMs: number): void {
    const { idleMs, writeStallTimeoutMs } = this.#context.limits;
    if (this.#stalledSinceMs > 0 && nowMs - this.#stalledSinceMs > writeStallTimeoutMs) this.#stalled();
    else if (this.#lingerSinceMs > 0 && nowMs - this.#lingerSinceMs > LINGER_MS) this.disconnect(this.#endCode);
    else if (this.quietMs(nowMs) > idleMs) this.disconnect("idle");
    else if (this.#state === "open") this.guard(() => this.onSweep(nowMs));
  }

  #stalled(): void {
    if (this.#state === "open") this.guard(() => this.onWriteStall());
    else this.disconnect("unread_responses");
  }

  readonly #onWritten = (): void => {
    // The writes of one turn complete together: the first callback handles them all.
    if (this.#stalledSinceMs === 0) return;
    const done = this.#socket.writableLength === 0;
    this.#stalledSinceMs = done ? 0 : performance.now();
    if (done && this.#state === "open") this.guard(() => this.onSent());
  };

  #applyReading(): void {
    if (this.reading || this.#state === "ended") this.#socket.resume();
    else this.#socket.pause();
  }

  /** Runs code of this connection. If it throws, this connection ends and no other. */
  protected guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#context.onFault(error);
      this.disconnect("fault");
    }
  }

  /** For {@link uncork} below, which saves a closure in each turn. */
  static uncork(connection: Connection): void {
    connection.#corked = false;
    connection.#socket.uncork();
  }
}

const uncork = Connection.uncork;

/** Splits what a connection receives into packets, and times the packet that is incomplete. */
export class PacketReceiver {
  readonly #decoder: PacketDecoder;
  readonly #timeoutMs: number;
  /** When the first bytes of the incomplete packet arrived; 0 if there is none. */
  #incompleteSinceMs = 0;

  /** `timeoutMs`: how long a packet may take from its first byte to its last. */
  constructor(maxPacketBytes: number, timeoutMs: number) {
    this.#decoder = new PacketDecoder(maxPacketBytes);
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Calls `onRun` with the whole packets that `chunk` completes, as {@link PacketDecoder.pushRuns} does. Returns the error if the
   * stream is broken or `onRun` throws a ProtocolError.
   */
  receive(
    chunk: Uint8Array,
    nowMs: number,
    onRun: (run: Uint8Array, packets: number) => void,
  ): ProtocolError | undefined {
    let completed = 0;
    let error: ProtocolError | undefined;
    try {
      completed = this.#decoder.pushRuns(chunk, onRun);
    } catch (caught) {
      if (!(caught instanceof ProtocolError)) throw caught;
      error = caught;
    }
    if (this.#decoder.heldBytes === 0) this.#incompleteSinceMs = 0;
    else if (completed > 0 || this.#incompleteSinceMs === 0) this.#incompleteSinceMs = nowMs;
    return error;
  }

  /**
   * Whether a packet has been incomplete for too long. Call it in each sweep: time does not count while nothing is read from the
   * peer, because the rest of the packet may wait in the network.
   */
  isOverdue(nowMs: number, reading: boolean): boolean {
    if (!reading) this.#incompleteSinceMs &&= nowMs;
    return this.#incompleteSinceMs > 0 && nowMs - this.#incompleteSinceMs > this.#timeoutMs;
  }
}
