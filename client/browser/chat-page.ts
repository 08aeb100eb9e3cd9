import type { ClientState } from "../../protocol/reliable/client-state.ts";
import { parseToken } from "../../protocol/session-token.ts";
import { Chat } from "../chat/chat.ts";
import { ReliableConnection } from "../reliable/reliable-connection.ts";
import { ChatView } from "./chat-view.ts";
import { passNetworkHints } from "./network-hints.ts";
import { pageElement } from "./page-element.ts";
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

/** The room's page: `data-room` names it, `data-cookie` says whether the browser's cookie may enter. */
function start(): void {
  const view = new ChatView();
  const { room = "", cookie } = pageElement("chat", HTMLElement).dataset;
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? undefined;
  if (token === undefined && cookie !== "yes") {
    stop(view, "Not connected: log in to chat");
  } else if (token !== undefined && parseToken(token) === undefined) {
    stop(view, "Not connected: the token in the address is none");
  } else {
    pageElement("entrance", HTMLElement).hidden = true;
    connect(view, room, token);
  }
}

function connect(view: ChatView, room: string, token: string | undefined): void {
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
  connection.on("confirmed", () => view.showHint(""));
  connection.on("closed", () => {
    view.showState("Not connected", "bad");
    view.showMembers([]);
    view.end();
  });
  view.form.addEventListener("submit", (event) => {
    event.preventDefault();
    say(chat, view, connection.state === "Established");
  });
  view.leaveButton.addEventListener("click", () => connection.disconnect());
  passNetworkHints(connection);
  connection.connect();
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

start();
