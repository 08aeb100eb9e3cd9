import { button, confirmed, counted, element, facts, field, typed } from "./elements.ts";
import { legible } from "./legible-text.ts";
import { type ConsolePart, type Operator, partAddress, Repetition } from "./part.ts";
import type { Answer, ConsoleServer, RoomView } from "./server.ts";

const ASK_MS = 2_000;

/** Rows: a room may have 1,000 members. */
const MAX_ROWS = 100;

/** docs/rooms.md: A-Z a-z 0-9 _ . and -, 1 to 64. */
const ROOM = "[A-Za-z0-9_.\\-]{1,64}";

type Member = RoomView["members"][number];

/** A room: who is in it, and what its log has. The operator says something, or removes a member. */
export class RoomsPart implements ConsolePart {
  readonly name = "rooms";
  readonly title = "Rooms";
  readonly element: HTMLElement;
  readonly #server: ConsoleServer;
  readonly #operator: Operator;
  readonly #input = element("input", {
    id: "room",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    required: true,
    pattern: ROOM,
    title: "1 to 64 of A-Z a-z 0-9 _ . and -",
  });
  /** What came of what the operator did. */
  readonly #outcome = element("p", { class: "notice", role: "status", hidden: true });
  /** Why the room was not read. */
  readonly #fault = element("p", { class: "error", hidden: true });
  readonly #view = element("section", { class: "room", "aria-labelledby": "room-name", hidden: true });
  readonly #heading = element("h3", { id: "room-name" });
  readonly #facts = element("div");
  readonly #filter = element("input", {
    id: "member-filter",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
  });
  readonly #note = element("p", { class: "rule" });
  readonly #rows = element("tbody");
  readonly #table: HTMLElement;
  readonly #asking = new Repetition(ASK_MS, () => this.#ask());
  #room: string | undefined;
  #members: readonly Member[] = [];
  #isWatched = false;

  constructor(server: ConsoleServer, operator: Operator) {
    this.#server = server;
    this.#operator = operator;
    const form = element(
      "form",
      { class: "find" },
      field("Room", this.#input),
      element("button", { type: "submit" }, "Open"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      location.hash = partAddress(this.name, { room: this.#input.value });
    });
    this.#filter.addEventListener("input", () => this.#showMembers());
    const columns = ["Member", "User", "State", ...(operator.mayWrite ? ["Remove"] : [])];
    this.#table = element(
      "div",
      { class: "scroll", role: "region", "aria-label": "Members", tabindex: 0 },
      element(
        "table",
        { class: "members" },
        element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)))),
        this.#rows,
      ),
    );
    this.#view.append(
      this.#heading,
      this.#facts,
      ...(operator.mayWrite ? [this.#sayForm()] : []),
      field("Members whose user has", this.#filter),
      this.#note,
      this.#table,
    );
    this.element = element("div", {}, form, this.#outcome, this.#fault, this.#view);
  }

  open(choice: URLSearchParams): void {
    const room = choice.get("room");
    if (room === null || room === this.#room) return;
    this.#room = room;
    this.#input.value = room;
    this.#filter.value = "";
    this.#view.hidden = true;
    this.#fault.hidden = true;
    this.#say("");
    if (this.#isWatched) this.#asking.now();
  }

  watch(): void {
    this.#isWatched = true;
    this.#asking.begin();
  }

  rest(): void {
    this.#isWatched = false;
    this.#asking.end();
  }

  async #ask(): Promise<void> {
    const room = this.#room;
    if (room === undefined) return;
    const answer = await this.#server.room(room);
    // Another room was opened meanwhile.
    if (room !== this.#room) return this.#ask();
    this.#fault.hidden = answer.kind === "ok";
    if (answer.kind !== "ok") {
      this.#fault.textContent = answer.kind === "failed" ? answer.text : "There is no such room.";
      return;
    }
    const { epoch, offset, members } = answer.value;
    this.#members = members;
    const away = members.filter(({ connected }) => !connected).length;
    this.#heading.textContent = `Room ${room}`;
    this.#facts.replaceChildren(
      facts(
        ["Members", `${members.length.toLocaleString()}${away === 0 ? "" : `, ${away.toLocaleString()} of them away`}`],
        ["Length of its log", epoch === 0 ? "nothing is kept" : offset.toLocaleString()],
      ),
    );
    this.#showMembers();
    this.#view.hidden = false;
  }

  #showMembers(): void {
    const text = this.#filter.value.trim().toLowerCase();
    const found = this.#members.filter(({ user }) => user.toLowerCase().includes(text));
    this.#note.textContent =
      found.length > MAX_ROWS
        ? `The first ${MAX_ROWS} of ${counted(found.length, "member")}.`
        : found.length > 0
          ? ""
          : this.#members.length === 0
            ? "Nobody is here."
            : "No member matches.";
    this.#table.hidden = found.length === 0;
    // A button that has the focus must not be replaced every two seconds.
    const rows = new Map([...this.#rows.rows].map((row) => [row.dataset["member"], row]));
    const wanted = found.slice(0, MAX_ROWS).map((member) => {
      const before = rows.get(String(member.member));
      return before?.dataset["state"] === stateOf(member) ? before : this.#rowOf(member);
    });
    const isSame =
      wanted.length === this.#rows.rows.length && wanted.every((row, index) => row === this.#rows.rows[index]);
    if (!isSame) this.#rows.replaceChildren(...wanted);
  }

  #rowOf(member: Member): HTMLTableRowElement {
    const { member: number, user } = member;
    const row = element(
      "tr",
      { "data-member": number, "data-state": stateOf(member) },
      element("td", { class: "number" }, String(number)),
      element("td", { class: "user" }, element("a", { href: partAddress("sessions", { user }) }, typed(user))),
      element("td", {}, stateOf(member)),
    );
    if (this.#operator.mayWrite) {
      const remove = button("Remove", () => void this.#remove(member), {
        class: "quiet",
        "aria-label": `Remove ${legible(user)}`,
      });
      row.append(element("td", {}, remove));
    }
    return row;
  }

  #sayForm(): HTMLFormElement {
    const input = element("input", { id: "say", autocomplete: "off", maxlength: 4000, required: true });
    const form = element(
      "form",
      { class: "find" },
      field("Say to everybody, as the server", input),
      element("button", { type: "submit" }, "Say"),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (this.#room === undefined) return;
      const said = await this.#server.say(this.#room, input.value);
      if (said.kind === "ok") input.value = "";
      this.#say(said.kind === "ok" ? `Said: offset ${said.value.offset} of the log.` : whyNot(said));
      this.#asking.now();
    });
    return form;
  }

  async #remove({ member, user: name }: Member): Promise<void> {
    const room = this.#room;
    if (room === undefined) return;
    const user = legible(name);
    const consequence = "The connection is closed. The user may come in again, until the session is ended.";
    if (!(await confirmed({ question: `Remove ${user} from ${room}?`, consequence, action: "Remove" }))) return;
    const removed = await this.#server.removeMember(room, member);
    this.#say(
      removed.kind === "ok"
        ? `Removed ${user}.`
        : removed.kind === "notFound"
          ? `${user} had left before.`
          : whyNot(removed),
    );
    this.#asking.now();
  }

  #say(text: string): void {
    this.#outcome.textContent = text;
    this.#outcome.hidden = text === "";
  }
}

function stateOf({ connected }: Member): string {
  return connected ? "connected" : "away";
}

function whyNot(answer: Exclude<Answer<unknown>, { kind: "ok" }>): string {
  return `Not done: ${answer.kind === "failed" ? answer.text : "there is no such room"}`;
}
