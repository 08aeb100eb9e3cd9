import { ClosedCode } from "../../protocol/closed-codes.ts";
import type { ClientState } from "../../protocol/reliable/client/client-connection.ts";
import { OWN_END_COOKIE, OWN_END_PATH, type OwnEnd, parseToken } from "../../protocol/session-token.ts";
import { Chat } from "../chat/chat.ts";
import { ReliableConnection } from "../reliable/reliable-connection.ts";
import { ChatView, pageElement } from "./chat-view.ts";
import { webSocketTransport } from "./web-socket-transport.ts";

const STATES: Readonly<Record<ClientState, string>> = {
  None: "Not connected",
  Connecting: "Connecting",
  Handshaking: "Connecting",
  Connected: "Connecting",
  Restore: "Entering",
  Standby: "Catching up",
  Established: "Connected",
};

/**
 * The page of a room: `data-room` is its name, `data-cookie` says whether the browser's cookie may enter, `data-user` is that
 * user. A token in the address is removed from it at once. If the browser is logged in too, the visitor chooses, because a
 * link may carry the token of somebody else.
 */
async function start(): Promise<void> {
  const token = takeToken();
  // Following another link to this page changes only the fragment, so the browser does not reload it.
  addEventListener("hashchange", () => {
    if (tokenInAddress() !== null) location.reload();
  });
  const view = new ChatView();
  const { room = "", cookie, user = "" } = pageElement("chat", HTMLElement).dataset;
  if (token === null) {
    if (cookie === "yes") enter(view, room, { user, token: undefined });
    else stop(view, "Not connected: log in to chat");
    return;
  }
  const owner = parseToken(token) === undefined ? undefined : await userOf(token);
  if (owner === undefined) return stop(view, "Not connected: the token in the address is not valid");
  const byToken = { user: owner, token };
  if (cookie !== "yes") return enter(view, room, byToken);
  if (user === owner) return enter(view, room, { user, token: undefined });
  view.askWho(user, owner, (choice) => enter(view, room, choice === "login" ? { user, token: undefined } : byToken));
}

function tokenInAddress(): string | null {
  return new URLSearchParams(location.hash.slice(1)).get("token");
}

/** Removes the token from the address and from the browser's history, and returns it. */
function takeToken(): string | null {
  const token = tokenInAddress();
  if (token !== null) history.replaceState(history.state, "", location.pathname + location.search);
  return token;
}

/** The user of a token's session: undefined if the token is not valid, "" if the edge cannot say at the moment. */
async function userOf(token: string): Promise<string | undefined> {
  const headers = { Authorization: `Bearer ${token}` };
  try {
    const response = await fetch("/v1/session", { headers, credentials: "omit" });
    if (response.status === 401) return undefined;
    if (!response.ok) return "";
    const { user } = (await response.json()) as { user: string | null };
    return user ?? undefined;
  } catch {
    return "";
  }
}

/** The user who enters; without a token, the cookie is the credential. */
interface Entrance {
  readonly user: string;
  readonly token: string | undefined;
}

function enter(view: ChatView, room: string, { user, token }: Entrance): void {
  view.showWho(user, token !== undefined);
  connect(view, room, token);
}

function connect(view: ChatView, room: string, token: string | undefined): void {
  // It is about a session before this one.
  // biome-ignore lint/suspicious/noDocumentCookie: not every browser has the Cookie Store API
  if (token === undefined) document.cookie = `${OWN_END_COOKIE}=; Path=${OWN_END_PATH}; Max-Age=0; Secure`;
  const connection = new ReliableConnection({ transport: webSocketTransport({ token }), room });
  const chat = new Chat(connection, (line) => view.show(line));
  const showMembers = (): void => view.showMembers(chat.roster.members);
  connection.on("state", ({ state }) => {
    view.showState(STATES[state], state === "Established" ? "good" : "plain");
  });
  connection.on("handoverBegin", () => view.showState("Connection lost, coming back", "bad"));
  connection.on("presence", showMembers);
  connection.on("joined", showMembers);
  connection.on("gap", showMembers);
  connection.on("acked", () => view.showHint(""));
  connection.on("closed", ({ code, message }) => {
    view.showState("Not connected", "bad");
    view.showMembers([]);
    view.end();
    if (code === ClosedCode.SessionInvalid) void showSessionEnd(view, message, token === undefined);
    else if (code === ClosedCode.Denied) view.showEnd(sentence(message));
  });
  view.form.addEventListener("submit", (event) => {
    event.preventDefault();
    say(chat, view, connection.state === "Established");
  });
  view.leaveButton.addEventListener("click", () => connection.disconnect());
  passNetworkHints(connection);
  connection.connect();
}

const OWN_END: Readonly<Record<OwnEnd, string>> = {
  logout: "You were logged out.",
  login: "You have logged in again.",
};

/** How long after the room the response to the browser's own logout may come. */
const OWN_END_WAIT_MS = 2_000;
const OWN_END_POLL_MS = 50;

/** Says why the session has ended: that it was this browser, if it was, otherwise what the room has said. */
async function showSessionEnd(view: ChatView, message: string, byCookie: boolean): Promise<void> {
  view.showEnd(sentence(message));
  if (!byCookie) return;
  for (let waitedMs = 0; waitedMs < OWN_END_WAIT_MS; waitedMs += OWN_END_POLL_MS) {
    const own = ownEnd();
    if (own !== undefined) return view.showEnd(OWN_END[own]);
    await new Promise((resolve) => setTimeout(resolve, OWN_END_POLL_MS));
  }
  view.showEnd(`${sentence(message)} This browser did not end the session.`);
}

/** How this browser has ended the session itself, undefined if it has not. */
function ownEnd(): OwnEnd | undefined {
  const cookies = document.cookie.split("; ");
  return (["logout", "login"] as const).find((how) => cookies.includes(`${OWN_END_COOKIE}=${how}`));
}

function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}

function say(chat: Chat, view: ChatView, connected: boolean): void {
  const text = view.input.value;
  if (text.trim() === "") return;
  const result = chat.say(text);
  if (result === "sent") view.input.value = "";
  view.showHint(hintOf(result, connected));
  view.input.focus();
}

function hintOf(result: ReturnType<Chat["say"]>, connected: boolean): string {
  if (result === "sent") return connected ? "" : "It is kept, and sent when the connection is back.";
  if (result === "full") return "Too much waits to be sent; try again in a moment.";
  if (result === "tooLarge") return "That is too long.";
  return "";
}

function stop(view: ChatView, why: string): void {
  view.showState(why, "bad");
  view.end();
}

void start();

/**
 * Tells the connection what the browser knows about the network: it is back (`online`), it is gone (`offline`), or the page
 * is visible again, perhaps on another network (`visibilitychange`).
 */
function passNetworkHints(connection: ReliableConnection): void {
  const changed = (): void => connection.networkChanged();
  const visibilityChanged = (): void => {
    if (document.visibilityState === "visible") changed();
  };
  addEventListener("online", changed);
  addEventListener("offline", changed);
  document.addEventListener("visibilitychange", visibilityChanged);
  connection.on("closed", () => {
    removeEventListener("online", changed);
    removeEventListener("offline", changed);
    document.removeEventListener("visibilitychange", visibilityChanged);
  });
}
