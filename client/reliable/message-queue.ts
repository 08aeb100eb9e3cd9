import { DELIVER_OVERHEAD_BYTES } from "../../protocol/player-packets.ts";
import type { MessageEvent } from "../../protocol/reliable/client/client-output.ts";

/** How much may wait for a consumer before Acks are withheld: as much as the window of a client. */
const FULL_MESSAGES = 1024;
const FULL_BYTES = 256 * 1024;

/** With this much waiting, no new connection is opened: it is more than a room sends before an Ack. */
const SWAMPED_BYTES = 2 * 1024 * 1024;

/** The messages for one `for await`, until its loop takes them. */
export class MessageQueue implements AsyncIterableIterator<MessageEvent, undefined> {
  readonly #onChange: () => void;
  #messages: MessageEvent[] = [];
  #bytes = 0;
  #full = false;
  #ended = false;
  #waiting: ((result: IteratorResult<MessageEvent, undefined>) => void)[] = [];

  /** `onChange` is called when {@link isFull} changes, and when the consumer leaves. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Whether Acks must be withheld. Once true, it stays so until half of the messages are taken. */
  get isFull(): boolean {
    return this.#full;
  }

  get isSwamped(): boolean {
    return this.#bytes >= SWAMPED_BYTES;
  }

  get isEnded(): boolean {
    return this.#ended;
  }

  push(message: MessageEvent): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting({ done: false, value: message });
      return;
    }
    this.#messages.push(message);
    this.#bytes += sizeOf(message);
    this.#update();
  }

  /** No more messages will come; those that wait can still be taken. */
  end(): void {
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) waiting({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<MessageEvent, undefined>> {
    const message = this.#messages.shift();
    if (message !== undefined) {
      this.#bytes -= sizeOf(message);
      this.#update();
      return Promise.resolve({ done: false, value: message });
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The loop was left: the messages that wait are dropped. */
  return(): Promise<IteratorResult<MessageEvent, undefined>> {
    this.#messages = [];
    this.#bytes = 0;
    this.#full = false;
    this.end();
    this.#onChange();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #update(): void {
    const share = this.#full ? 0.5 : 1;
    const full = this.#messages.length >= FULL_MESSAGES * share || this.#bytes >= FULL_BYTES * share;
    if (full === this.#full) return;
    this.#full = full;
    this.#onChange();
  }
}

function sizeOf({ body }: MessageEvent): number {
  return DELIVER_OVERHEAD_BYTES + body.byteLength;
}
