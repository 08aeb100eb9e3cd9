import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { CheckResponse } from "../../protocol/check/check-response.ts";
import type { ReceivedRequest } from "./check-answer.ts";
import { type PlainRequest, readPlainRequest } from "./plain-request.ts";

/** What a {@link PlainConnection} needs of its port. */
export interface PlainConnectionOptions {
  /** Answers a request; a promise does not reject. */
  answer(request: ReceivedRequest, socket: Socket): CheckResponse | Promise<CheckResponse>;
  /** Takes the connection over, with the bytes that were received and not answered. */
  handOver(socket: Socket, received: Buffer): void;
  /** Whether the port drains: then a connection ends after its response. */
  isDraining(): boolean;
  /** How long the first request may take to arrive. */
  readonly firstMs: number;
  /** How long there may be no request. */
  readonly idleMs: number;
  /** How long a response may stay unread. */
  readonly unreadMs: number;
}

/** How long a client may take to close its side after the bridge has closed its own. */
const LINGER_MS = 1_000;

/**
 * A connection on which plain requests are answered one after the other, without an HTTP server: all that a proxy sends, for
 * 0.6 of node:http's CPU (docs/performance/optimisations.md). With the first request that is not plain, the HTTP server takes over.
 */
export class PlainConnection {
  readonly #socket: Socket;
  readonly #options: PlainConnectionOptions;
  /** A request is in progress, or the HTTP server has the connection. */
  #isBusy = false;
  #hasEnded = false;

  constructor(socket: Socket, options: PlainConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setTimeout(options.firstMs);
    socket.on("timeout", this.#destroy);
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    socket.on("error", this.#destroy);
  }

  /** Ends the connection, after the response to a request in progress. */
  drain(): void {
    if (!this.#isBusy) this.#end();
  }

  readonly #destroy = (): void => {
    this.#socket.destroy();
  };

  readonly #onData = (chunk: Buffer): void => {
    if (this.#isBusy) this.#postpone(chunk);
    else this.#answerReceived(chunk);
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    if (!this.#isBusy) this.#end();
  };

  readonly #onDrain = (): void => {
    if (this.#isBusy) return;
    this.#socket.setTimeout(this.#options.idleMs);
    this.#socket.resume();
  };

  /**
   * What a client pipelines waits until its earlier requests are answered: in the stream, which does not end before it was read, so
   * that the HTTP server can still take it over; then in the network.
   */
  #postpone(received: Buffer): void {
    this.#socket.pause();
    this.#socket.unshift(received);
  }

  #answerReceived(received: Buffer): void {
    const text = received.toString("latin1");
    let at = 0;
    let responses = "";
    while (at < text.length) {
      const request = readPlainRequest(text, at);
      if (request === undefined) {
        if (responses !== "") this.#write(responses);
        this.#handOver(received.subarray(at));
        return;
      }
      at = request.end;
      const answer = this.#options.answer(request, this.#socket);
      if (answer instanceof Promise) {
        if (responses !== "") this.#write(responses);
        if (at < text.length) this.#postpone(received.subarray(at));
        this.#await(request, answer);
        return;
      }
      responses += this.#format(request, answer);
    }
    if (responses !== "") this.#write(responses);
  }

  #await(request: PlainRequest, answer: Promise<CheckResponse>): void {
    this.#isBusy = true;
    // The limits are for what the client does; the answer has a deadline of its own.
    this.#socket.setTimeout(0);
    // It does not reject.
    void answer.then((response) => {
      this.#isBusy = false;
      if (this.#socket.destroyed) return;
      this.#write(this.#format(request, response));
      if (this.#options.isDraining() || this.#hasEnded) this.#end();
      else if (!this.#socket.writableNeedDrain) this.#socket.resume();
    });
  }

  #write(responses: string): void {
    const socket = this.#socket;
    const { idleMs, unreadMs } = this.#options;
    // Each of its bytes is one character.
    const isTaken = socket.write(responses, "latin1");
    if (!isTaken) socket.pause();
    socket.setTimeout(isTaken ? idleMs : unreadMs);
  }

  #end(): void {
    this.#socket.end();
    this.#socket.setTimeout(LINGER_MS);
  }

  #format({ isHead }: PlainRequest, { status, headers, body }: CheckResponse): string {
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
    for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
    text += `Content-Length: ${body?.length ?? 0}\r\nDate: ${httpDate()}\r\n`;
    if (this.#options.isDraining()) text += "Connection: close\r\n";
    return isHead || body === null ? `${text}\r\n` : `${text}\r\n${body}`;
  }

  #handOver(received: Buffer): void {
    const socket = this.#socket;
    this.#isBusy = true;
    socket.removeListener("timeout", this.#destroy);
    socket.removeListener("data", this.#onData);
    socket.removeListener("end", this.#onEnd);
    socket.removeListener("drain", this.#onDrain);
    socket.removeListener("error", this.#destroy);
    socket.setTimeout(0);
    this.#options.handOver(socket, received);
  }
}

let dateSecond = 0;
let dateText = "";

/** The time as HTTP writes it (RFC 9110 §5.6.7), formatted once a second. */
function httpDate(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}
