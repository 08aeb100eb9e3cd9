import { partToUpgrade } from "../../../protocol/versions.ts";
import { counted, element, facts, moment } from "./elements.ts";
import { type ConsolePart, Repetition } from "./part.ts";
import type { BridgeView, ConsoleServer, EdgeView, WebhookView } from "./server.ts";

/** The hub asks each bridge for it. */
const ASK_MS = 2_000;

/** Rows: there may be 1,000 bridges. */
const MAX_ROWS = 200;

const COLUMNS = ["Address", "Version", "Sessions kept", "Checks", "From memory", "Age of lease", "Connected"];

/** The bridges that are connected to the hub, and the webhook. */
export class BridgesPart implements ConsolePart {
  readonly name = "bridges";
  readonly title = "Bridges";
  readonly element: HTMLElement;
  readonly #server: ConsoleServer;
  readonly #summary = element("p", {}, "Asking…");
  readonly #rows = element("tbody");
  readonly #table: HTMLElement;
  /** Read out when it changes. */
  readonly #refusals = element("div", { role: "alert" });
  readonly #webhook = element("div");
  readonly #asking = new Repetition(ASK_MS, () => this.#ask());

  constructor(server: ConsoleServer) {
    this.#server = server;
    const head = COLUMNS.map((name) => element("th", { scope: "col" }, name));
    this.#table = element(
      "div",
      { class: "scroll", role: "region", "aria-label": "Bridges, a table", tabindex: 0, hidden: true },
      element("table", { class: "bridges" }, element("thead", {}, element("tr", {}, ...head)), this.#rows),
    );
    this.element = element(
      "div",
      {},
      this.#summary,
      this.#refusals,
      this.#table,
      element("h3", {}, "Webhook"),
      this.#webhook,
    );
  }

  open(): void {}

  watch(): void {
    this.#asking.begin();
  }

  rest(): void {
    this.#asking.end();
  }

  async #ask(): Promise<void> {
    const answer = await this.#server.bridges();
    if (answer.kind !== "ok") {
      this.#summary.textContent = answer.kind === "failed" ? answer.text : "This edge does not say.";
      return;
    }
    const { edge, webhook } = answer.value;
    const isRefused = ({ refusedProtocol = null }: BridgeView): boolean => refusedProtocol !== null;
    const bridges = answer.value.bridges.filter((bridge) => !isRefused(bridge));
    const refused = answer.value.bridges.filter(isRefused);
    const leased = bridges.filter(({ leaseAgeMs }) => leaseAgeMs !== null).length;
    this.#summary.textContent =
      bridges.length === 0
        ? `${edgeText(edge)} No bridge is connected. Every check asks the store.`
        : `${edgeText(edge)} ${counted(bridges.length, "bridge")}, ${leased} with a lease.${bridges.length > MAX_ROWS ? ` The first ${MAX_ROWS} are shown.` : ""}`;
    this.#table.hidden = bridges.length === 0;
    this.#rows.replaceChildren(...bridges.slice(0, MAX_ROWS).map(rowOf));
    const texts = refused.map((bridge) => refusalText(bridge, edge));
    if (texts.join() !== this.#refusals.textContent) {
      this.#refusals.replaceChildren(...texts.map((text) => element("p", { class: "error" }, text)));
    }
    this.#webhook.replaceChildren(...webhookText(webhook));
  }
}

function edgeText(edge: EdgeView | undefined): string {
  return edge === undefined ? "" : `This edge: ${edge.version}, wire protocol ${edge.protocol}.`;
}

/** What does not fit, and what to do. */
function refusalText({ version, address, refusedProtocol }: BridgeView, edge: EdgeView | undefined): string {
  const bridge = refusedProtocol ?? "";
  const part = edge && partToUpgrade({ bridge, edge: edge.protocol });
  const who = `The bridge at ${address ?? "an unknown address"} (${version ?? "it does not say its version"})`;
  return `${who} was refused: it speaks wire protocol ${bridge}. Upgrade the ${part ?? "edge"}.`;
}

function rowOf(bridge: BridgeView): HTMLTableRowElement {
  const { version, address, kept, answered, fromMemory, leaseAgeMs, connectedMs } = bridge;
  const share = answered === null || fromMemory === null || answered === 0 ? null : fromMemory / answered;
  const cells = [
    address ?? "unknown",
    version ?? "does not say",
    kept === null ? "–" : kept.toLocaleString(),
    answered === null ? "–" : answered.toLocaleString(),
    share === null ? "–" : share.toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 }),
    leaseAgeMs === null ? "no lease" : `${leaseAgeMs.toLocaleString()} ms`,
    connectedMs === null ? "–" : durationText(connectedMs),
  ];
  return element("tr", {}, ...cells.map((text, index) => element("td", { "data-name": COLUMNS[index] ?? "" }, text)));
}

function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

function webhookText({ state, held, behind, oldestAt, lastError }: WebhookView): HTMLElement[] {
  if (state === "off") return [element("p", {}, "No receiver is configured (WEBHOOK_URL).")];
  const states = {
    on: held > 0 ? "on, but messages fail" : behind ? "on, and has more to send" : "on, everything is sent",
    disabled: "disabled: the receiver answered 410. It stays so until its URL or secret is changed",
  };
  return [
    facts(
      ["State", states[state]],
      ["To be tried again", counted(held, "message")],
      ...(oldestAt === null ? [] : [["Oldest that waits", moment(oldestAt)] as const]),
      ...(lastError === null ? [] : [["Last failure", lastError] as const]),
    ),
  ];
}
