import { button, clockTime, element, field, typed } from "./elements.ts";
import { partAddress } from "./part.ts";
import type { LogEvent } from "./server.ts";

/** Events kept in memory, which a filter looks through. */
const MAX_KEPT = 1_000;

/** Rows on the page: a flood of events must not make it slow. */
const MAX_ROWS = 100;

/** The page is changed at most so often. */
const DRAW_MS = 250;

/** What the operator wants to see; empty texts: all. */
interface LogFilter {
  readonly kind: string;
  readonly user: string;
  readonly sessid: string;
}

/** A line of the log: an event, or a remark about the log itself. */
type LogLine = LogEvent | { readonly kind: "remark"; readonly at: number; readonly text: string };

/**
 * The tail of the session log, the newest line first. No live region: events come too fast to be read aloud. A screen reader's user
 * goes through the table, and can pause it.
 */
export class LogTail {
  readonly element: HTMLElement;
  readonly #rows = element("tbody");
  readonly #note = element("p", { class: "rule" });
  readonly #kind = element(
    "select",
    { id: "log-kind" },
    ...[
      ["", "all"],
      ["began", "began"],
      ["changed", "changed"],
      ["ended", "ended"],
    ].map(([value, text]) => element("option", { value }, text ?? "")),
  );
  readonly #user = element("input", {
    id: "log-user",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
  });
  readonly #sessid = element("input", { id: "log-sessid", autocomplete: "off", inputmode: "numeric" });
  readonly #pause: HTMLButtonElement;
  /** The newest last. */
  #lines: LogLine[] = [];
  /** What is shown while the log is paused. */
  #paused: readonly LogLine[] | undefined;
  #arrived = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#pause = button("Pause", () => this.#togglePause(), { class: "quiet", "aria-pressed": "false" });
    for (const input of [this.#kind, this.#user, this.#sessid]) input.addEventListener("input", () => this.#draw());
    const head = ["Time", "What", "Session", "User"].map((name) => element("th", { scope: "col" }, name));
    this.element = element(
      "div",
      { class: "log" },
      element("h3", {}, "Log of sessions"),
      element(
        "div",
        { class: "toolbar" },
        field("What", this.#kind),
        field("User has", this.#user),
        field("Session", this.#sessid),
        this.#pause,
      ),
      this.#note,
      element(
        "div",
        // A region that scrolls must be reachable by keyboard.
        { class: "scroll", role: "region", "aria-label": "Log of sessions, the newest first", tabindex: 0 },
        element("table", {}, element("thead", {}, element("tr", {}, ...head)), this.#rows),
      ),
    );
    this.#draw();
  }

  add(line: LogLine): void {
    this.#lines.push(line);
    this.#arrived += 1;
    if (this.#lines.length >= 2 * MAX_KEPT) this.#lines = this.#lines.slice(-MAX_KEPT);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#paused === undefined) this.#draw();
      else this.#showNote(this.#paused);
    }, DRAW_MS);
  }

  #togglePause(): void {
    const pauses = this.#paused === undefined;
    this.#paused = pauses ? this.#lines.slice(-MAX_KEPT) : undefined;
    this.#arrived = 0;
    this.#pause.setAttribute("aria-pressed", String(pauses));
    this.#draw();
  }

  #draw(): void {
    const kept = this.#paused ?? this.#lines.slice(-MAX_KEPT);
    const filter = { kind: this.#kind.value, user: this.#user.value.trim(), sessid: this.#sessid.value.trim() };
    const shown = kept.filter((line) => line.kind === "remark" || matches(line, filter));
    this.#rows.replaceChildren(...shown.slice(-MAX_ROWS).reverse().map(rowOf));
    this.#showNote(kept, shown.length);
  }

  #showNote(kept: readonly LogLine[], matching = 0): void {
    const arrived = this.#paused === undefined ? 0 : this.#arrived;
    const note = [
      kept.length === 0 ? "Nothing has happened since this page was opened." : "",
      matching > MAX_ROWS ? `The newest ${MAX_ROWS} of ${matching} lines.` : "",
      kept.length > 0 && matching === 0 && this.#paused === undefined ? "No line matches." : "",
      this.#paused === undefined ? "" : `Paused; ${arrived} since.`,
    ];
    this.#note.textContent = note.join(" ").trim();
  }
}

/** Whether an event is wanted: its user contains the text, its session begins with the number. */
export function matches(event: LogEvent, { kind, user, sessid }: LogFilter): boolean {
  if (kind !== "" && event.kind !== kind) return false;
  if (user !== "" && !(event.user ?? "").toLowerCase().includes(user.toLowerCase())) return false;
  return sessid === "" || String(event.sessid).startsWith(sessid);
}

function rowOf(line: LogLine): HTMLTableRowElement {
  const time = element("td", {}, element("time", { datetime: new Date(line.at).toISOString() }, clockTime(line.at)));
  if (line.kind === "remark") return element("tr", {}, time, element("td", { colspan: 3, class: "remark" }, line.text));
  const { kind, reason, sessid, user } = line;
  const session = element("a", { href: partAddress("sessions", { sessid: String(sessid) }) }, String(sessid));
  const owner = user === null ? "anonymous" : element("a", { href: partAddress("sessions", { user }) }, typed(user));
  return element(
    "tr",
    {},
    time,
    element("td", {}, element("span", { class: `kind ${kind}` }, reason ?? kind)),
    element("td", { class: "number" }, session),
    element("td", { class: "user" }, owner),
  );
}
