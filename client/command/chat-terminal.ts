import { createInterface, type Interface } from "node:readline";
import type { Chat, ChatLine } from "../chat/chat.ts";
import { printable } from "../chat/plain-text.ts";
import type { ReliableConnection } from "../reliable/reliable-connection.ts";

const CLEAR_LINE = "\r\u001b[2K";

/**
 * A chat on standard input and output. On a terminal the last line shows the state and what is being written; through
 * pipes, each line in is said and each line out is one that the chat shows, and after the end of the input it leaves as
 * soon as the room has everything.
 */
export class ChatTerminal {
  readonly #connection: ReliableConnection;
  readonly #room: string;
  readonly #input: Interface;
  readonly #isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  /** Read, and not yet taken by the connection. */
  #lines: string[] = [];
  #inputEnded = false;
  #asked = false;
  #chat: Chat | undefined;
  readonly #leave = (): void => {
    this.#asked = true;
    this.#connection.disconnect();
  };

  constructor(connection: ReliableConnection, room: string) {
    this.#connection = connection;
    this.#room = room;
    this.#input = createInterface({
      input: process.stdin,
      ...(this.#isTerminal ? { output: process.stdout } : {}),
      terminal: this.#isTerminal,
    });
  }

  /** Whether it was the user who wanted to go. */
  get hasAskedToLeave(): boolean {
    return this.#asked;
  }

  /** Starts to read. */
  open(chat: Chat): void {
    this.#chat = chat;
    this.#input.on("line", (line) => {
      this.#lines.push(line);
      this.#sayLines();
    });
    this.#input.on("close", () => {
      this.#inputEnded = true;
      this.#leaveIfDone();
    });
    this.#input.on("SIGINT", this.#leave);
    process.on("SIGINT", this.#leave).on("SIGTERM", this.#leave);
    // Nobody reads any more, as after `| head`.
    process.stdout.on("error", this.#leave);
    this.#connection.on("joined", () => this.#leaveIfDone());
    this.#connection.on("writable", () => this.#sayLines());
    this.#connection.on("acked", () => this.#leaveIfDone());
    this.#connection.on("state", ({ state }) => {
      if (this.#isTerminal) this.#prompt();
      else this.#print(`-- ${state}`);
    });
    this.#connection.on("presence", () => this.#prompt());
  }

  show(line: ChatLine): void {
    // Also what a room or a network says of itself could steer a terminal.
    this.#print(printable(textOf(line)));
  }

  close(): void {
    this.#inputEnded = true;
    this.#input.removeAllListeners();
    this.#input.close();
    if (this.#isTerminal) process.stdout.write(CLEAR_LINE);
    // A pipe that stays open would keep the process alive.
    process.stdin.destroy();
    process.off("SIGINT", this.#leave).off("SIGTERM", this.#leave);
  }

  #sayLines(): void {
    for (let line = this.#lines[0]; line !== undefined; line = this.#lines[0]) {
      if (!this.#sayLine(line)) {
        if (!this.#inputEnded) this.#input.pause();
        return;
      }
      this.#lines.shift();
    }
    if (!this.#inputEnded) this.#input.resume();
    this.#prompt();
    this.#leaveIfDone();
  }

  /** False if it must be tried again when there is room. */
  #sayLine(line: string): boolean {
    if (line === "/quit") this.#leave();
    else if (line === "/who") this.#print(`-- here: ${this.#who()}`);
    else if (line.startsWith("/") && !line.startsWith("//"))
      this.#print("-- there are /who and /quit; // starts with /");
    else if (line.trim() !== "") {
      const result = this.#chat?.say(line.startsWith("//") ? line.slice(1) : line);
      if (result === "tooLarge") this.#print("-- too long, it was not sent");
      return result !== "full";
    }
    return true;
  }

  /** Not before it was in: who says nothing is told too whether that went. */
  #leaveIfDone(): void {
    const { member, unackedMessages } = this.#connection;
    const done = this.#inputEnded && this.#lines.length === 0 && unackedMessages === 0;
    if (done && member !== 0 && !this.#asked) this.#leave();
  }

  #who(): string {
    const members = this.#chat?.roster.members ?? [];
    return members.map(({ user, held }) => (held ? `${user} (away)` : user)).join(", ");
  }

  #print(text: string): void {
    process.stdout.write(this.#isTerminal ? `${CLEAR_LINE}${text}\n` : `${text}\n`);
    this.#prompt();
  }

  #prompt(): void {
    if (!this.#isTerminal || this.#inputEnded) return;
    const here = this.#chat?.roster.members.length ?? 0;
    this.#input.setPrompt(`[${this.#room} | ${this.#connection.state} | ${here} here] `);
    this.#input.prompt(true);
  }
}

function textOf(line: ChatLine): string {
  if (line.kind === "status") return `-- ${line.text}`;
  if (line.kind === "presence") return `* ${line.name} ${line.news}`;
  return `${line.name}${line.private ? " (privately)" : ""}: ${line.text}`;
}
