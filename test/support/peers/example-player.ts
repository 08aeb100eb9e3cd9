import { connect, type Socket } from "node:net";
import { Changes } from "../changes.ts";

/** A player of client/cpp/example: what `nc` shows. */
export class ExamplePlayer {
  readonly #socket: Socket;
  readonly #changes = new Changes();
  #received = "";
  #hasEnded = false;

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1").setEncoding("utf8");
    this.#socket.on("data", (text: string) => {
      this.#received += text;
      this.#changes.notify();
    });
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.#hasEnded = true;
      this.#changes.notify();
    });
  }

  say(line: string): void {
    this.#socket.write(`${line}\n`);
  }

  /** Resolves once the server has said this line. */
  async hears(line: string): Promise<void> {
    await this.#changes.until(() => this.#received.split("\n").includes(line) || this.#hasEnded);
    if (!this.#received.split("\n").includes(line)) throw new Error(`it has heard: ${this.#received}`);
  }

  /** Resolves with all that the server has said, when it has closed the connection. */
  async isKicked(): Promise<string> {
    await this.#changes.until(() => this.#hasEnded);
    return this.#received;
  }

  close(): void {
    this.#socket.destroy();
  }
}
