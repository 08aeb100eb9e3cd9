import { createInterface, type Interface } from "node:readline";
import type { Chat, ChatLine } from "../chat/chat.ts";
import { printable } from "../chat/plain-text.ts";
import type { ReliableConnection } from "../reliable/reliable-connection.ts";

const CLEAR_LINE = "\r\u001b[2K";

/**
 * A chat on standard input and output. On a terminal, the last line shows the state and the text being typed. Through pipes,
 * each input line is a message and each output line a line of the chat; after the end of the input it leaves as soon as the
 * room has acked everything.
 */
export class ChatTerminal {
  readonly #connection: ReliableConnection;
  readonly #room: string;
  readonly #input: Interface;
  readonly #isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  /** Input lines that the connection has not accepted yet. */
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

  /** Whether the user asked to leave. */
  get hasAskedToLeave(): boolean {
    return this.#asked;
  }

  /** Starts to read the input. */
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
    // Nobody reads the output any more, as after `| head`.
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
    // Texts of a room or a network could contain control characters too.
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

  /** False if the window is full: try again when it has space. */
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

  /** Leaves only after it has joined, so that a user without input learns too whether that succeeded. */
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
