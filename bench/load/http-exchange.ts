import { once } from "node:events";
import { connect, type Socket } from "node:net";

const HEAD_END = "\r\n\r\n";

/** The head says how long the body is: all that is measured here answers so, or without a body. */
const LENGTH = /^content-length: *(\d+)/im;

/**
 * One keep-alive connection with one request at a time. It looks at the status and the length of an answer and at nothing
 * else: a full HTTP client would need more of the machine than what it measures.
 */
export class HttpExchange {
  readonly #socket: Socket;
  #received = "";
  #answered: ((text: string) => void) | undefined;

  private constructor(port: number) {
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (text: string) => this.#receive(text));
  }

  static async open(port: number): Promise<HttpExchange> {
    const exchange = new HttpExchange(port);
    await once(exchange.#socket, "connect");
    exchange.#socket.on("close", () => {
      throw new Error("the server closed the connection");
    });
    return exchange;
  }

  /** Sends a whole request and resolves with the whole answer. */
  ask(request: string): Promise<string> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#socket.write(request, "latin1");
    });
  }

  #receive(text: string): void {
    this.#received += text;
    const headEnd = this.#received.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const bodyBytes = Number(LENGTH.exec(this.#received.slice(0, headEnd))?.[1] ?? 0);
    if (this.#received.length < headEnd + HEAD_END.length + bodyBytes) return;
    const answer = this.#received;
    this.#received = "";
    this.#answered?.(answer);
  }
}
