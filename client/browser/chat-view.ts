import type { ChatLine } from "../chat/chat.ts";
import type { RosterMember } from "../chat/roster.ts";

/** Lines kept on the page, so that a long chat does not make it slow. */
const MAX_LINES = 500;

const NEWS = { joined: "came in", held: "has lost the connection", resumed: "is back", left: "has left" } as const;

/** The changing parts of the chat page. Texts of other users are set as text, never as markup. */
export class ChatView {
  readonly form = pageElement("say", HTMLFormElement);
  readonly input = pageElement("text", HTMLInputElement);
  readonly leaveButton = pageElement("leave", HTMLButtonElement);
  readonly #lines = pageElement("lines", HTMLOListElement);
  readonly #members = pageElement("members", HTMLUListElement);
  readonly #here = pageElement("here", HTMLElement);
  readonly #state = pageElement("state", HTMLElement);
  readonly #hint = pageElement("hint", HTMLElement);

  showState(text: string, tone: "good" | "bad" | "plain"): void {
    this.#state.textContent = text;
    this.#state.className = tone;
  }

  showMembers(members: readonly RosterMember[]): void {
    this.#here.textContent = `${members.length} here`;
    const items = members.map(({ user, held }) => {
      const item = document.createElement("li");
      item.append(isolated("span", user));
      if (held) item.append(" (away)");
      item.className = held ? "held" : "";
      return item;
    });
    this.#members.replaceChildren(...items);
  }

  show(line: ChatLine): void {
    const list = this.#lines;
    // A user who has scrolled up to older lines stays there.
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(itemOf(line));
    while (list.childElementCount > MAX_LINES) list.firstElementChild?.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  /** Shows why the text was not sent; an empty hint if it was. */
  showHint(text: string): void {
    this.#hint.textContent = text;
  }

  /** Shows the user's name in the room; an empty name is not known. */
  showWho(user: string, byToken: boolean): void {
    pageElement("entrance", HTMLElement).hidden = true;
    pageElement("choice", HTMLElement).hidden = true;
    const who = pageElement("who", HTMLElement);
    const as = user === "" ? [] : [" as ", isolated("b", user)];
    const how = byToken ? " by the token in the address." : user === "" ? " by your login." : ".";
    who.replaceChildren("You are here", ...as, how);
    who.hidden = false;
  }

  /** Asks under which name to enter: by the login or by the token in the address. */
  askWho(login: string, owner: string, choose: (choice: "login" | "token") => void): void {
    const button = (id: string, user: string, otherwise: string, choice: "login" | "token"): void => {
      const element = pageElement(id, HTMLButtonElement);
      element.replaceChildren(...(user === "" ? [otherwise] : ["Enter as ", isolated("b", user)]));
      element.addEventListener("click", () => choose(choice));
    };
    button("choose-login", login, "Enter by your login", "login");
    button("choose-token", owner, "Enter by the token", "token");
    pageElement("choice", HTMLElement).hidden = false;
  }

  /** Shows why the connection has ended for good, with a link to enter again. */
  showEnd(why: string): void {
    const again = document.createElement("a");
    again.href = location.pathname;
    again.textContent = "Enter again";
    const ended = pageElement("ended", HTMLElement);
    ended.replaceChildren(`${why} `, again);
    ended.hidden = false;
    pageElement("who", HTMLElement).hidden = true;
  }

  /** Disables the input. */
  end(): void {
    this.input.disabled = true;
    this.leaveButton.disabled = true;
    for (const button of this.form.querySelectorAll("button")) button.disabled = true;
  }
}

function itemOf(line: ChatLine): HTMLLIElement {
  const item = document.createElement("li");
  if (line.kind === "message") {
    item.className = line.own ? "own" : "message";
    item.append(isolated("b", line.name), line.private ? " (privately)" : "", isolated("p", line.text));
  } else if (line.kind === "presence") {
    item.className = "presence";
    item.append(isolated("span", line.name), ` ${NEWS[line.news]}`);
  } else {
    item.className = `status ${line.tone}`;
    item.textContent = line.text;
  }
  return item;
}

/** Text with its own direction, which does not change that of the text around it. */
function isolated(tag: "b" | "p" | "span", text: string): HTMLElement {
  const element = document.createElement(tag);
  element.dir = "auto";
  element.textContent = text;
  return element;
}

/**
 * The element with this id, which the page's markup has.
 *
 * @throws Error it has not, or it is another element: page and script are of different versions
 */
export function pageElement<E extends HTMLElement>(id: string, type: abstract new () => E): E {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`#${id}: not on this page`);
}
