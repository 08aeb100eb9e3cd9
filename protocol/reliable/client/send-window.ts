import { ProtocolError } from "../../packet-framing.ts";
import { publishBytes, type WindowLimits } from "../flow-control.ts";

/** A message on its way to the room. */
export interface OutgoingMessage {
  /** What `send` returned for it: 1, 2, 3, ... over the machine's whole life. */
  readonly id: number;
  readonly to: number;
  readonly body: Uint8Array;
}

/**
 * The messages that the room has not acknowledged, in order. Its first one has the seq after the last acknowledged one:
 * the numbers follow from the place, and only a new seat renumbers them.
 */
export class SendWindow {
  readonly #limits: WindowLimits;
  readonly #messages: OutgoingMessage[] = [];
  #bytes = 0;
  #nextId = 1;
  #acknowledgedSeq = 0;
  /** How many of the messages the current connection has carried, and how many any connection has. */
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

  /** Takes a copy of a message; undefined if the window is full. */
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

  /** Gives out what the current connection has not carried yet, and says how much of it is a replay. */
  carry(publish: (seq: number, message: OutgoingMessage) => void): number {
    const replayed = Math.max(0, this.#everCarried - this.#carried);
    for (const message of this.#messages.slice(this.#carried)) {
      this.#carried += 1;
      publish(this.#acknowledgedSeq + this.#carried, message);
    }
    this.#everCarried = Math.max(this.#everCarried, this.#carried);
    return replayed;
  }

  /**
   * The room has everything up to `seq`.
   *
   * @returns the id of the last message that this confirmed, undefined if it was nothing new
   * @throws ProtocolError the room acknowledged what it never got
   */
  acked(seq: number): number | undefined {
    if (seq <= this.#acknowledgedSeq) return undefined;
    if (seq > this.#acknowledgedSeq + this.#carried) {
      throw new ProtocolError("out_of_range", "ack: above what was published");
    }
    return this.#release(seq - this.#acknowledgedSeq);
  }

  /** Whether a room that has everything up to `received` can have it from here. */
  canResume(received: number): boolean {
    return received >= this.#acknowledgedSeq && received <= this.#acknowledgedSeq + this.#everCarried;
  }

  /**
   * A new connection to the same seat: the room has everything up to `received`; the rest is to be carried again.
   *
   * @returns the id of the last message that this confirmed, undefined if it was nothing new
   */
  resume(received: number): number | undefined {
    const confirmed = received - this.#acknowledgedSeq;
    const last = confirmed === 0 ? undefined : this.#release(confirmed);
    this.#carried = 0;
    return last;
  }

  /** A new seat: the messages that wait, none of them ever carried to it, are numbered from `received + 1`. */
  restart(received: number): void {
    this.#acknowledgedSeq = received;
    this.#carried = 0;
    this.#everCarried = 0;
  }

  /** Takes out everything that is not acknowledged. */
  drain(): OutgoingMessage[] {
    this.#bytes = 0;
    this.#carried = 0;
    this.#everCarried = 0;
    return this.#messages.splice(0);
  }

  /** Whether there is room again since a message was refused; true once. */
  takeWritable(): boolean {
    const { windowMessages, windowBytes } = this.#limits;
    if (!this.#refused || this.#messages.length >= windowMessages || this.#bytes >= windowBytes / 2) return false;
    this.#refused = false;
    return true;
  }

  #release(count: number): number | undefined {
    const released = this.#messages.splice(0, count);
    for (const message of released) this.#bytes -= publishBytes(message.body);
    this.#acknowledgedSeq += count;
    this.#carried = Math.max(0, this.#carried - count);
    this.#everCarried -= count;
    return released.at(-1)?.id;
  }
}
