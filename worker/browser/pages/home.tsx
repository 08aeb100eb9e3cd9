import { consoleRight, type Visitor } from "../visitor.ts";
import { displayName, Layout } from "./layout.tsx";

/** The home page: who the visitor is, and links. */
export function HomePage({ visitor }: { visitor: Visitor }) {
  return (
    <Layout title="Home" visitor={visitor}>
      {visitor.kind === "user" ? (
        <UserHome user={visitor.user} isOperator={consoleRight(visitor.grants) !== undefined} />
      ) : (
        <VisitorHome visitor={visitor} />
      )}
    </Layout>
  );
}

function UserHome({ user, isOperator }: { user: string; isOperator: boolean }) {
  return (
    <>
      <h1>Hello, {displayName(user)}</h1>
      <p>You stay logged in until you log out, close the browser, or do nothing here for a while.</p>
      <ul class="cards">
        <li>
          <a href="/rooms/lobby">Chat in the lobby</a>
          <p>Messages survive a lost connection: nothing missing, nothing twice.</p>
        </li>
        <li>
          <a href="/me">Your account</a>
          <p>Where you are logged in, and how to end it.</p>
        </li>
        {isOperator && (
          <li>
            <a href="/console">Console</a>
            <p>All sessions, bridges and rooms, live.</p>
          </li>
        )}
      </ul>
    </>
  );
}

function VisitorHome({ visitor }: { visitor: Visitor }) {
  return (
    <>
      <h1>Artoria</h1>
      {visitor.kind === "unknown" && (
        <p class="notice" role="status">
          Sessions cannot be looked up at the moment. If you were logged in, you still are: try again soon.
        </p>
      )}
      <p>Sessions that follow you from server to server, and end when you say so.</p>
      <ul class="cards">
        <li>
          <a href="/login">Log in</a>
          <p>With the account that you have.</p>
        </li>
        {visitor.maySignUp && (
          <li>
            <a href="/signup">Sign up</a>
            <p>A name and a password, nothing else.</p>
          </li>
        )}
        <li>
          <a href="/docs">For programs</a>
          <p>The HTTP API.</p>
        </li>
      </ul>
    </>
  );
}
