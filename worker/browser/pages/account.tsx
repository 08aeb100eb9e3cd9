import { type Context, Hono } from "hono";
import type { Session } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { runOne } from "../../session-store/session-store.ts";
import { type Account, Accounts, accountOfUser } from "../accounts.ts";
import { acceptsHtml, type PageEnv, type Visitor } from "../visitor.ts";
import { accountActions } from "./account-actions.tsx";
import { displayName, Layout } from "./layout.tsx";
import { askForLogin, refuseUnknown } from "./refuse-page.tsx";

type User = Extract<Visitor, { kind: "user" }>;

/** `/me`: the account page, for users who are logged in. */
export const account = new Hono<PageEnv>()
  .get("/", async (c) => {
    const visitor = c.get("visitor");
    return visitor.kind === "user" ? show(c, visitor) : askForLogin(c, visitor, "/me");
  })
  .route("/", accountActions);

async function show(c: Context<PageEnv>, visitor: User): Promise<Response> {
  const { user } = visitor;
  const name = accountOfUser(user);
  const [listed, account] = await Promise.all([
    runOne(c.get("store"), { kind: "listUser", user }),
    name === undefined ? null : new Accounts(c.env.DB).find(name),
  ]);
  if (listed.status !== Status.Ok) return refuseUnknown(c);
  const { sessions } = listed;
  if (acceptsHtml(c)) return c.html(<AccountPage visitor={visitor} account={account} sessions={sessions} />);
  const { createdAt = null, lastLoginAt = null } = account ?? {};
  return c.json({ user, createdAt, lastLoginAt, sessid: visitor.sessid, sessions });
}

interface AccountPageProps {
  readonly visitor: Extract<Visitor, { kind: "user" }>;
  /** null for the user of a service, who has no account here. */
  readonly account: Account | null;
  readonly sessions: readonly Session[];
}

/** The account's dates, and the user's sessions, each with a button that ends it. */
function AccountPage({ visitor, account, sessions }: AccountPageProps) {
  const newestFirst = sessions.toSorted((a, b) => b.createdAt - a.createdAt);
  return (
    <Layout title="Your account" visitor={visitor}>
      <h1>{displayName(visitor.user)}</h1>
      {account && (
        <dl>
          <dt>Account since</dt>
          <dd>
            <Moment ms={account.createdAt} />
          </dd>
          {account.lastLoginAt !== null && (
            <>
              <dt>Last login</dt>
              <dd>
                <Moment ms={account.lastLoginAt} />
              </dd>
            </>
          )}
        </dl>
      )}
      <h2 id="sessions">Where you are logged in</h2>
      <ul class="sessions" aria-labelledby="sessions">
        {newestFirst.map((session) => (
          <SessionItem session={session} isThis={session.sessid === visitor.sessid} mayEnd={account !== null} />
        ))}
      </ul>
      {account && sessions.length > 1 && (
        <form method="post" action="/me/sessions/end-others" class="end-others">
          <button type="submit" class="quiet">
            End all others
          </button>
        </form>
      )}
      {account && (
        <>
          <h2>Your account</h2>
          <ul class="cards">
            <li>
              <a href="/me/password">Change your password</a>
              <p>Ends your sessions everywhere but here.</p>
            </li>
            <li>
              <a href="/me/delete">Delete your account</a>
              <p>Ends all your sessions, for good.</p>
            </li>
          </ul>
        </>
      )}
    </Layout>
  );
}

interface SessionItemProps {
  readonly session: Session;
  readonly isThis: boolean;
  /** Whether the visitor has an account, whose password is needed to end another session. */
  readonly mayEnd: boolean;
}

function SessionItem({ session, isThis, mayEnd }: SessionItemProps) {
  const from = session.ip ?? "an unknown address";
  return (
    <li>
      <div>
        <strong>{from}</strong>
        {isThis && <span class="this">this browser</span>}
        <p>
          Since <Moment ms={session.createdAt} />
        </p>
        <p>
          If unused, until <Moment ms={session.expiresAt} />
        </p>
      </div>
      {(isThis || mayEnd) && (
        <form method="post" action="/me/sessions/end">
          <input type="hidden" name="sessid" value={String(session.sessid)} />
          <button type="submit" class="quiet" aria-label={`${isThis ? "Log out" : "End"}, ${from}`}>
            {isThis ? "Log out" : "End"}
          </button>
        </form>
      )}
    </li>
  );
}

/** A time in UTC: the server does not know the time zone of the reader. */
function Moment({ ms }: { ms: number }) {
  const iso = new Date(ms).toISOString();
  return <time datetime={iso}>{`${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`}</time>;
}
