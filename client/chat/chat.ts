import { ClosedCode, closedCodeName } from "../../protocol/closed-codes.ts";
import type { OutgoingMessage } from "../../protocol/reliable/client/send-window.ts";
import type { EventOf } from "../reliable/connection-events.ts";
import type { ReliableConnection } from "../reliable/reliable-connection.ts";
import { plainText } from "./plain-text.ts";
import { type PresenceNews, Roster } from "./roster.ts";

/** One line of a chat. */
export type ChatLine =
  | {
      readonly kind: "message";
      readonly name: string;
      readonly own: boolean;
      readonly private: boolean;
      readonly text: string;
    }
  | { readonly kind: "presence"; readonly name: string; readonly news: PresenceNews }
  /** About this player's own connection. */
  | { readonly kind: "status"; readonly tone: "good" | "bad" | "plain"; readonly text: string };

const encoder = new TextEncoder();

/** Translates a room's events into the lines of a chat, for the terminal and the page. */
export class Chat {
  readonly roster = new Roster();
  readonly #connection: ReliableConnection;
  readonly #show: (line: ChatLine) => void;
  /** Whether the history is being replayed: its changes of presence are not shown. */
  #isHistory = false;

  constructor(connection: ReliableConnection, show: (line: ChatLine) => void) {
    this.#connection = connection;
    this.#show = show;
    connection.on("joined", (event) => this.#takeJoined(event));
    connection.on("state", ({ state }) => {
      if (state === "Established") this.#isHistory = false;
    });
    connection.on("message", (event) => this.#takeMessage(event));
    connection.on("presence", (event) => this.#takePresence(event));
    connection.on("gap", (event) => this.#takeGap(event));
    connection.on("interrupted", ({ code, message }) => {
      this.#status("plain", `${closedCodeName(code)}: ${message}. Coming back.`);
    });
    connection.on("handoverBegin", () => this.#status("bad", "Connection lost: coming back, nothing is lost."));
    connection.on("handoverEnd", ({ gapMs, replayed }) => {
      this.#status("good", `Back: gap ${Math.round(gapMs)} ms, ${replayed} replayed.`);
    });
    connection.on("handoverFailed", (event) => this.#takeFailure(event));
    connection.on("closed", (event) => this.#takeClosed(event));
  }

  /** Sends a text to everybody; returns why it was not sent. After `full`, try again at the connection's `writable`. */
  say(text: string): "sent" | "full" | "closed" | "tooLarge" {
    const { kind } = this.#connection.send(encoder.encode(text));
    return kind === "queued" ? "sent" : kind;
  }

  #takeJoined(event: EventOf<"joined">): void {
    this.roster.joined(event);
    this.#isHistory = !event.resumed;
    if (!event.resumed) this.#status("good", `You are in, as member ${event.member}.`);
  }

  #takeMessage({ from, to, body }: EventOf<"message">): void {
    const own = from === this.#connection.member;
    this.#show({ kind: "message", name: this.roster.nameOf(from), own, private: to !== 0, text: plainText(body) });
  }

  #takePresence(event: EventOf<"presence">): void {
    const news = this.roster.presence(event);
    if (news === undefined || this.#isHistory || event.member === this.#connection.member) return;
    this.#show({ kind: "presence", name: this.roster.nameOf(event.member), news });
  }

  #takeGap({ from, to }: EventOf<"gap">): void {
    this.roster.gap();
    this.#status("bad", `Up to ${to - from + 1} messages are gone: the room keeps no more.`);
  }

  #takeFailure({ reason, unacked }: EventOf<"handoverFailed">): void {
    const why = reason === "retention" ? "you were away for too long" : "the room has given your place up";
    this.#status("bad", `Handover failed: ${why}. Joining anew.`);
    this.#listUnacked(unacked);
  }

  #takeClosed({ code, message, unacked }: EventOf<"closed">): void {
    this.#listUnacked(unacked);
    if (code === ClosedCode.Left) this.#status("plain", "You have left.");
    else this.#status("bad", `${closedCodeName(code)}: ${message}.`);
  }

  #listUnacked(messages: readonly OutgoingMessage[]): void {
    for (const { body } of messages) this.#status("bad", `Unconfirmed, perhaps not sent: ${plainText(body)}`);
  }

  #status(tone: "good" | "bad" | "plain", text: string): void {
    this.#show({ kind: "status", tone, text });
  }
}
