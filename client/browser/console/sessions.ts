import type { Session } from "../../../protocol/session-request.ts";
import { button, confirmed, counted, element, facts, field, moment, typed } from "./elements.ts";
import { legible } from "./legible-text.ts";
import { type ConsolePart, type Operator, partAddress } from "./part.ts";
import type { Answer, ConsoleServer, Ended, LogEvent, Reach } from "./server.ts";

/** Users of browser accounts have this before the account's name. */
const ACCOUNT_PREFIX = "web:";

const OWN_SESSION = "The session of this console ends: you will be logged out.";

/** What was found: the sessions of a user, or one session. */
interface Found {
  readonly user: string | null;
  readonly total: number;
  readonly sessions: readonly Session[];
}

/** Finds a user or a session, shows what is known, and ends sessions. */
export class SessionsPart implements ConsolePart {
  readonly name = "sessions";
  readonly title = "Sessions";
  readonly element: HTMLElement;
  readonly #server: ConsoleServer;
  readonly #operator: Operator;
  readonly #input = element("input", {
    id: "find",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    enterkeyhint: "search",
    required: true,
    "aria-describedby": "find-rule",
  });
  readonly #outcome = element("p", { class: "notice", role: "status", hidden: true });
  readonly #found = element("div", { class: "found" });
  /** The rows of the sessions that are shown. */
  readonly #rows = new Map<number, { readonly row: HTMLElement; readonly user: string | null }>();
  #wanted: URLSearchParams | undefined;
  /** Increases with each search: an answer to an older one comes too late. */
  #search = 0;

  constructor(server: ConsoleServer, operator: Operator) {
    this.#server = server;
    this.#operator = operator;
    const form = element(
      "form",
      { class: "find", role: "search" },
      field("User or session", this.#input),
      element("button", { type: "submit" }, "Find"),
      element(
        "p",
        { id: "find-rule", class: "rule" },
        `A user's whole name, as "kim", or "web:kim" for an account; or a session's number.`,
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#input.value.trim();
      const address = partAddress(this.name, isSessid(text) ? { sessid: text } : { user: text });
      // The same again is a reload.
      if (location.hash === address) void this.#look();
      else location.hash = address;
    });
    this.element = element("div", {}, form, this.#outcome, this.#found);
  }

  open(choice: URLSearchParams): void {
    if (choice.get("user") === null && choice.get("sessid") === null) return;
    this.#wanted = choice;
    this.#input.value = choice.get("user") ?? choice.get("sessid") ?? "";
    this.#say("");
    void this.#look();
  }

  watch(): void {}

  rest(): void {}

  /** Marks a session that is shown and has just ended. */
  heard({ kind, reason, sessid, user }: LogEvent): void {
    const shown = this.#rows.get(sessid);
    if (shown === undefined || kind !== "ended" || shown.user !== user) return;
    shown.row.classList.add("gone");
    shown.row.querySelector("button")?.remove();
    const label = shown.row.querySelector(".badge.over");
    if (label === null)
      shown.row.querySelector("h4")?.append(" ", element("span", { class: "badge over" }, `ended: ${reason}`));
  }

  /** Asks for what the address names, and shows it. */
  async #look(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    this.#search += 1;
    const search = this.#search;
    const user = wanted.get("user");
    const sessid = wanted.get("sessid") ?? "";
    const answer = user === null ? await this.#findSession(sessid) : await this.#findUser(user);
    if (search !== this.#search) return;
    this.#rows.clear();
    if (answer.kind === "ok") this.#show(answer.value);
    else if (answer.kind === "notFound") this.#found.replaceChildren(...notFound(sessid));
    else this.#found.replaceChildren(element("p", { class: "error" }, answer.text));
  }

  async #findSession(sessid: string): Promise<Answer<Found>> {
    const answer = await this.#server.session(sessid);
    if (answer.kind !== "ok") return answer;
    return { kind: "ok", value: { user: answer.value.user, total: 1, sessions: [answer.value] } };
  }

  async #findUser(user: string): Promise<Answer<Found>> {
    const answer = await this.#server.user(user);
    return answer.kind === "ok" ? { kind: "ok", value: { user, ...answer.value } } : answer;
  }

  #show({ user, total, sessions }: Found): void {
    const byNumber = this.#wanted?.get("user") === null;
    const isOwn = sessions.some(({ sessid }) => sessid === this.#operator.sessid);
    const who = user === null ? "an anonymous visitor" : typed(user);
    const head = element(
      "div",
      { class: "found-head" },
      element("h3", { tabindex: -1 }, byNumber ? "Session of " : `${counted(total, "session")} of `, who),
    );
    if (byNumber && user !== null) {
      head.append(element("a", { href: partAddress(this.name, { user }) }, "All sessions of this user"));
    } else if (user !== null && total > 0 && this.#operator.mayWrite) {
      head.append(
        button(
          total === 1 ? "End it" : `End all ${total.toLocaleString()}`,
          () => void this.#endAll(user, total, isOwn),
          {
            class: "danger",
          },
        ),
      );
    }
    const more =
      total > sessions.length
        ? [
            element(
              "p",
              { class: "notice" },
              `The newest ${sessions.length} of ${total.toLocaleString()} sessions. Older ones can be found by their number.`,
            ),
          ]
        : [];
    const hint = total === 0 && user !== null && !user.startsWith(ACCOUNT_PREFIX) ? [accountHint(user)] : [];
    if (byNumber) hint.push(userHint(this.#wanted?.get("sessid") ?? ""));
    const list = element(
      "ul",
      { class: "sessions", "aria-label": "Sessions" },
      ...sessions.map((session) => this.#rowOf(session)),
    );
    this.#found.replaceChildren(head, ...more, list, ...hint);
  }

  #rowOf(session: Session): HTMLElement {
    const { sessid, user, ip, createdAt, expiresAt, grants } = session;
    const isOwn = sessid === this.#operator.sessid;
    const heading = element("h4", {}, `Session ${sessid}`);
    if (isOwn) heading.append(" ", element("span", { class: "badge" }, "this console"));
    const grantList =
      grants.length === 0
        ? "none"
        : element("span", { class: "grants" }, ...grants.map((grant) => element("code", {}, legible(grant))));
    const row = element(
      "li",
      {},
      element(
        "div",
        {},
        heading,
        facts(
          ["From", ip ?? "unknown"],
          ["Began", moment(createdAt)],
          ["Expires", moment(expiresAt)],
          ["May enter", grantList],
        ),
      ),
    );
    if (this.#operator.mayWrite) {
      row.append(
        button("End", () => void this.#endOne(session, isOwn), {
          class: "quiet",
          "aria-label": `End session ${sessid}`,
        }),
      );
    }
    this.#rows.set(sessid, { row, user });
    return row;
  }

  async #endOne(session: Session, isOwn: boolean): Promise<void> {
    const consequence = isOwn ? OWN_SESSION : "Whoever uses it is logged out everywhere, at once.";
    if (!(await confirmed({ question: `End session ${session.sessid}?`, consequence, action: "End it" }))) return;
    await this.#end(() => this.#server.endSession(session));
  }

  async #endAll(user: string, total: number, isOwn: boolean): Promise<void> {
    const sessions = total === 1 ? "the session" : `all ${total.toLocaleString()} sessions`;
    const consequence = `${isOwn ? `${OWN_SESSION} ` : ""}The user is logged out everywhere, at once. Sessions that have begun since this list was made end too.`;
    if (
      !(await confirmed({
        question: `End ${sessions} of ${legible(user)}?`,
        consequence,
        action: total === 1 ? "End it" : "End all",
      }))
    )
      return;
    await this.#end(() => this.#server.endUser(user));
  }

  async #end(request: () => Promise<Answer<Ended>>): Promise<void> {
    this.#say("Ending…");
    const answer = await request();
    if (answer.kind === "ok") this.#say(reachText(answer.value));
    else this.#say(answer.kind === "notFound" ? "It had ended before." : `Not ended: ${answer.text}`);
    await this.#look();
    // The button that had the focus is gone.
    this.#found.querySelector("h3")?.focus({ preventScroll: true });
  }

  #say(text: string): void {
    this.#outcome.textContent = text;
    this.#outcome.hidden = text === "";
  }
}

/** Whether a text may be the number of a session: an int32 other than 0. A longer number may be a user's name. */
function isSessid(text: string): boolean {
  return /^-?\d{1,10}$/.test(text) && Number(text) !== 0 && Number(text) === (Number(text) | 0);
}

/** What is said of an end: how far it reached. */
export function reachText({ ended, reach }: Ended): string {
  return `Ended ${counted(ended, "session")}. ${reach === null ? "How many bridges know of it is not known: the log could not be read." : bridgesText(reach)}`;
}

function bridgesText({ bridges, acknowledged, position }: Reach): string {
  if (bridges === 0) return `No bridge answers from memory; the log stands at position ${position}.`;
  return `${acknowledged} of ${bridges} bridges, at position ${position}.`;
}

function notFound(sessid: string): HTMLElement[] {
  return [
    element("h3", { tabindex: -1 }, `No session ${sessid}`),
    element("p", {}, "It has ended, or there never was one of this number."),
    userHint(sessid),
  ];
}

/** A user's name may be a number too. */
function userHint(number: string): HTMLElement {
  const user = element("a", { href: partAddress("sessions", { user: number }) }, number);
  return element("p", {}, "If it is the name of a user: ", user);
}

function accountHint(user: string): HTMLElement {
  const account = ACCOUNT_PREFIX + user;
  return element(
    "p",
    {},
    "If it is the name of an account: ",
    element("a", { href: partAddress("sessions", { user: account }) }, typed(account)),
  );
}
