import { Hono } from "hono";
import { isRoomName } from "../../../protocol/player-packets.ts";
import type { PageEnv, Visitor } from "../visitor.ts";
import { ASSETS_PATH, Layout } from "./layout.tsx";
import { refusePage } from "./refuse-page.tsx";

/** `/rooms/{room}`: the chat of a room. */
export const room = new Hono<PageEnv>().get("/:room", (c) => {
  const name = c.req.param("room");
  if (!isRoomName(name)) {
    return refusePage(c, "not_found", "No such room", "A room's name has 1 to 64 of A-Z a-z 0-9 _ . and -");
  }
  return c.html(<RoomPage room={name} visitor={c.get("visitor")} />);
});

/** The chat; client/browser/chat-page.ts fills it. */
function RoomPage({ room, visitor }: { room: string; visitor: Visitor }) {
  return (
    <Layout title={`Room ${room}`} visitor={visitor} script={`${ASSETS_PATH}/chat-page.js`}>
      <link rel="stylesheet" href={`${ASSETS_PATH}/chat-page.css`} />
      <div
        id="chat"
        class="chat"
        data-room={room}
        data-cookie={visitor.kind === "anonymous" ? "no" : "yes"}
        data-user={visitor.kind === "user" ? visitor.user : ""}
      >
        <div class="chat-head">
          <h1>{room}</h1>
          <p id="state" role="status">
            Not connected
          </p>
          <button type="button" id="leave" class="quiet">
            Leave
          </button>
        </div>
        <p id="entrance" class="notice" hidden={visitor.kind !== "anonymous"}>
          <a href={`/login?return=/rooms/${room}`}>Log in</a> to chat here.
        </p>
        <p id="who" class="notice" role="note" hidden />
        <p id="ended" class="notice" role="alert" hidden />
        <div id="choice" class="notice" role="alertdialog" aria-labelledby="choice-text" hidden>
          <p id="choice-text">
            You are logged in, and the address that you opened holds a token of somebody else. As whom do you enter?
          </p>
          <button type="button" id="choose-login" /> <button type="button" id="choose-token" class="quiet" />
        </div>
        <noscript>
          <p class="notice">The chat needs JavaScript.</p>
        </noscript>
        <details open>
          <summary id="here">Who is here</summary>
          <ul id="members" aria-labelledby="here" />
        </details>
        {/* A region that scrolls must be reachable by keyboard. */}
        <ol id="lines" role="log" aria-label="Messages" tabindex={0} />
        <form id="say">
          <label for="text">Message</label>
          <div class="chat-line">
            <input id="text" autocomplete="off" enterkeyhint="send" maxlength={4000} aria-describedby="hint" />
            <button type="submit">Send</button>
          </div>
          <p id="hint" role="alert" />
        </form>
      </div>
    </Layout>
  );
}
