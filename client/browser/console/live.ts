import { LineChart } from "./charts.ts";
import { element } from "./elements.ts";
import type { FeedListener, FeedState } from "./feed.ts";
import { LogTail } from "./log.ts";
import { type ConsolePart, Repetition } from "./part.ts";
import { CountHistory, EventRates } from "./rates.ts";
import type { ConsoleServer, LogEvent } from "./server.ts";

/** A count is a command of the store. */
const COUNT_MS = 5_000;

const DRAW_MS = 1_000;

/** How many sessions there are, how many begin and end, and the tail of the log. */
export class LivePart implements ConsolePart, FeedListener {
  readonly name = "live";
  readonly title = "Live";
  readonly element: HTMLElement;
  readonly #server: ConsoleServer;
  readonly #rates = new EventRates();
  readonly #counts = new CountHistory();
  readonly #log = new LogTail();
  readonly #rateChart = new LineChart("Begins and ends a second", ["begins", "ends"]);
  readonly #countChart = new LineChart("Sessions and users", ["sessions", "users"]);
  readonly #tiles = {
    sessions: element("dd", {}, "–"),
    users: element("dd", {}, "–"),
    begins: element("dd", {}, "–"),
    ends: element("dd", {}, "–"),
  };
  readonly #fault = element("p", { class: "error", hidden: true });
  readonly #counting = new Repetition(COUNT_MS, () => this.#count());
  readonly #drawing = new Repetition(DRAW_MS, async () => this.#draw());
  /** What the edge's clock is ahead of this one. */
  #aheadMs = 0;
  #state: FeedState = "connecting";

  constructor(server: ConsoleServer) {
    this.#server = server;
    const tile = (name: string, value: HTMLElement) => element("div", {}, element("dt", {}, name), value);
    this.element = element(
      "div",
      {},
      element(
        "dl",
        { class: "tiles" },
        tile("Sessions", this.#tiles.sessions),
        tile("Users", this.#tiles.users),
        tile("Begins a second", this.#tiles.begins),
        tile("Ends a second", this.#tiles.ends),
      ),
      this.#fault,
      element("div", { class: "charts" }, this.#countChart.element, this.#rateChart.element),
      this.#log.element,
    );
  }

  open(): void {}

  watch(): void {
    this.#counting.begin();
    this.#drawing.begin();
  }

  rest(): void {
    this.#counting.end();
    this.#drawing.end();
  }

  heard(event: LogEvent): void {
    this.#rates.add(event);
    this.#log.add(event);
  }

  stateIs(state: FeedState): void {
    if (state === "live") {
      this.#rates.listen(this.#nowMs);
      if (this.#state === "hidden")
        this.#remark("Listening again. What happened while the page was hidden is not here.");
    }
    // A lost stream resumes by position: nothing is missed.
    if (state === "hidden" || state === "closed") this.#rates.pause(this.#nowMs);
    if (state !== "connecting") this.#state = state;
    this.#showRates(this.#nowMs);
  }

  missed(): void {
    this.#rates.pause(this.#nowMs);
    this.#rates.listen(this.#nowMs);
    this.#remark("Events are missing here: the log does not have them any more.");
  }

  get #nowMs(): number {
    return Date.now() + this.#aheadMs;
  }

  #remark(text: string): void {
    this.#log.add({ kind: "remark", at: this.#nowMs, text });
  }

  async #count(): Promise<void> {
    const counted = await this.#server.count();
    this.#fault.hidden = counted.kind === "ok";
    if (counted.kind !== "ok") {
      this.#fault.textContent = `Not counted: ${counted.kind === "failed" ? counted.text : "no such route"}`;
      return;
    }
    const { at, sessions, users } = counted.value;
    this.#aheadMs = at - Date.now();
    this.#counts.add(at, sessions, users);
    this.#tiles.sessions.textContent = sessions.toLocaleString();
    this.#tiles.users.textContent = users.toLocaleString();
    this.#countChart.describe(
      `Sessions and users, in the last five minutes. Now ${sessions} sessions of ${users} users.`,
    );
    this.#draw();
  }

  #draw(): void {
    const nowMs = this.#nowMs;
    this.#countChart.show(this.#counts.columns(nowMs), nowMs);
    this.#rateChart.show(this.#rates.columns(nowMs), nowMs);
    this.#showRates(nowMs);
  }

  /** What happens now is known only while the page hears of it. */
  #showRates(nowMs: number): void {
    const current = this.#state === "live" ? this.#rates.current(nowMs) : null;
    const [begins, ends] = current === null ? ["–", "–"] : [rateText(current.began), rateText(current.ended)];
    this.#tiles.begins.textContent = begins;
    this.#tiles.ends.textContent = ends;
    this.#rateChart.describe(`Begins and ends a second, in the last five minutes. Now ${begins} begins, ${ends} ends.`);
  }
}

function rateText(rate: number): string {
  return rate.toLocaleString(undefined, { maximumFractionDigits: rate < 10 ? 1 : 0 });
}
