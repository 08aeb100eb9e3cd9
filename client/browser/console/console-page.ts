import { pageElement } from "../chat-view.ts";
import { BridgesPart } from "./bridges.ts";
import { element } from "./elements.ts";
import { ConsoleFeed, type FeedState } from "./feed.ts";
import { LivePart } from "./live.ts";
import { type ConsolePart, type Operator, partAddress } from "./part.ts";
import { RoomsPart } from "./rooms.ts";
import { type Closed, ConsoleServer } from "./server.ts";
import { SessionsPart } from "./sessions.ts";

const STATES: Readonly<Record<FeedState, { text: string; tone: "good" | "bad" | "plain" }>> = {
  connecting: { text: "Connecting", tone: "plain" },
  live: { text: "Live", tone: "good" },
  lost: { text: "Connection lost, coming back", tone: "bad" },
  hidden: { text: "Paused while hidden", tone: "plain" },
  closed: { text: "Closed", tone: "bad" },
};

const WHY_CLOSED: Readonly<Record<Closed, string>> = {
  loggedOut: "Your session has ended. ",
  denied: "Your session may not use the console any more. ",
};

/** The console. `data-right` is what the operator may do, `data-sessid` the number of the operator's session. */
function start(): void {
  const page = pageElement("console", HTMLElement);
  const operator: Operator = { mayWrite: page.dataset["right"] === "write", sessid: Number(page.dataset["sessid"]) };
  const state = element("p", { id: "state", class: "plain", role: "status" }, STATES.connecting.text);
  const closed = element("p", { class: "error", role: "alert", hidden: true });
  const server = new ConsoleServer(close);
  const live = new LivePart(server);
  const sessions = new SessionsPart(server, operator);
  const parts: readonly ConsolePart[] = [live, sessions, new BridgesPart(server), new RoomsPart(server, operator)];
  const shown = parts.map((part) => show(part));
  const feed = new ConsoleFeed(
    "/console/events",
    {
      heard(event) {
        live.heard(event);
        sessions.heard(event);
      },
      stateIs(now) {
        live.stateIs(now);
        state.textContent = STATES[now].text;
        state.className = STATES[now].tone;
      },
      missed: () => live.missed(),
    },
    // The answer says why there is no stream; close() is called if it is for good.
    async () => {
      await server.count();
      return !isClosed;
    },
  );
  let isClosed = false;
  let current: ConsolePart = live;

  function close(why: Closed): void {
    if (isClosed) return;
    isClosed = true;
    current.rest();
    feed.close();
    closed.replaceChildren(WHY_CLOSED[why], element("a", { href: "/login?return=/console" }, "Log in again"));
    closed.hidden = false;
  }

  /** Shows the part that the address names. */
  function follow(): void {
    const [name, choice] = location.hash.slice(1).split("?", 2);
    const next = parts.find((part) => part.name === name) ?? live;
    if (next !== current) current.rest();
    current = next;
    for (const { part, section, link } of shown) {
      section.hidden = part !== next;
      if (part === next) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    next.open(new URLSearchParams(choice));
    if (!document.hidden && !isClosed) next.watch();
  }

  pageElement("main", HTMLElement).classList.add("wide");
  const links = shown.map(({ link }) => element("li", {}, link));
  page.append(
    element("div", { class: "console-head" }, page.querySelector("h1") ?? "", state),
    closed,
    element("nav", { class: "parts", "aria-label": "Console" }, element("ul", {}, ...links)),
    ...shown.map(({ section }) => section),
  );
  page.querySelector("noscript")?.remove();
  addEventListener("hashchange", () => {
    follow();
    shown.find(({ part }) => part === current)?.heading.focus({ preventScroll: true });
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || isClosed) current.rest();
    else current.watch();
  });
  follow();
  feed.begin();
}

function show(part: ConsolePart) {
  const heading = element("h2", { id: `${part.name}-heading`, tabindex: -1 }, part.title);
  const section = element("section", { "aria-labelledby": heading.id, hidden: true }, heading, part.element);
  const link = element("a", { href: partAddress(part.name) }, part.title);
  return { part, heading, section, link };
}

start();
