import { ProtocolError } from "../../packet-framing.ts";
import { publishBytes, type WindowLimits } from "../flow-control.ts";

/** A message that the room has not acked. */
export interface OutgoingMessage {
  /** What `send` returned for it: 1, 2, 3, ... without repetition in the life of the machine. */
  readonly id: number;
  readonly to: number;
  readonly body: Uint8Array;
}

/**
 * The messages that the room has not acked, in order. The first has the seq after the last acked one, so a message's place
 * gives its seq; only a new seat renumbers the messages.
 */
export class SendWindow {
  readonly #limits: WindowLimits;
  readonly #messages: OutgoingMessage[] = [];
  #bytes = 0;
  #nextId = 1;
  #ackedSeq = 0;
  /** How many of the messages the current connection has carried, and how many any connection has carried. */
  #carried = 0;
  #everCarried = 0;
  #refused = false;

  constructor(limits: WindowLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#messages.length;
  }

  /** Bytes held, each message with its packet's header. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a copy of a message and returns its id; undefined if the window is full. */
  add(to: number, body: Uint8Array): number | undefined {
    const bytes = this.#bytes + publishBytes(body);
    if (this.#messages.length >= this.#limits.windowMessages || bytes > this.#limits.windowBytes) {
      this.#refused = true;
      return undefined;
    }
    const id = this.#nextId++;
    this.#messages.push({ id, to, body: Uint8Array.from(body) });
    this.#bytes = bytes;
    return id;
  }

  /** Publishes what the current connection has not carried yet. Returns how many of these messages are a replay. */
  carry(publish: (seq: number, message: OutgoingMessage) => void): number {
    const replayed = Math.max(0, this.#everCarried - this.#carried);
    for (const message of this.#messages.slice(this.#carried)) {
      this.#carried += 1;
      publish(this.#ackedSeq + this.#carried, message);
    }
    this.#everCarried = Math.max(this.#everCarried, this.#carried);
    return replayed;
  }

  /**
   * The room has everything up to `seq`.
   *
   * @returns the id of the last message that this acked, undefined if it acked nothing new
   * @throws ProtocolError the room acked what it was never sent
   */
  acked(seq: number): number | undefined {
    if (seq <= this.#ackedSeq) return undefined;
    if (seq > this.#ackedSeq + this.#carried) {
      throw new ProtocolError("out_of_range", "ack: above what was published");
    }
    return this.#release(seq - this.#ackedSeq);
  }

  /** Whether a room can have received everything up to `received` from this window. */
  canResume(received: number): boolean {
    return received >= this.#ackedSeq && received <= this.#ackedSeq + this.#everCarried;
  }

  /**
   * A new connection to the same seat: the room has everything up to `received`; the rest must be carried again.
   *
   * @returns the id of the last message that this acked, undefined if it acked nothing new
   */
  resume(received: number): number | undefined {
    const acked = received - this.#ackedSeq;
    const last = acked === 0 ? undefined : this.#release(acked);
    this.#carried = 0;
    return last;
  }

  /** A new seat, to which none of the messages was carried: they are numbered from `received + 1`. */
  restart(received: number): void {
    this.#ackedSeq = received;
    this.#carried = 0;
    this.#everCarried = 0;
  }

  /** Takes out all messages. */
  drain(): OutgoingMessage[] {
    this.#bytes = 0;
    this.#carried = 0;
    this.#everCarried = 0;
    return this.#messages.splice(0);
  }

  /** Whether the window has space again after a message was refused; true once. */
  takeWritable(): boolean {
    const { windowMessages, windowBytes } = this.#limits;
    if (!this.#refused || this.#messages.length >= windowMessages || this.#bytes >= windowBytes / 2) return false;
    this.#refused = false;
    return true;
  }

  #release(count: number): number | undefined {
    const released = this.#messages.splice(0, count);
    for (const message of released) this.#bytes -= publishBytes(message.body);
    this.#ackedSeq += count;
    this.#carried = Math.max(0, this.#carried - count);
    this.#everCarried -= count;
    return released.at(-1)?.id;
  }
}
