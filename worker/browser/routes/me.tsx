import { type Context, Hono } from "hono";
import { Status } from "../../../protocol/status-codes.ts";
import { runOne } from "../../session-store/run-one.ts";
import { accountOfUser } from "../account-rules.ts";
import { Accounts } from "../accounts.ts";
import { MePage } from "../pages/me-page.tsx";
import { askForLogin, refuseUnknown } from "../refuse-page.tsx";
import { acceptsHtml, type PageEnv, type Visitor } from "../visitor.ts";
import { ownAccount } from "./own-account.tsx";

type User = Extract<Visitor, { kind: "user" }>;

/** `/me`: a page that needs a login. */
export const me = new Hono<PageEnv>()
  .get("/", async (c) => {
    const visitor = c.get("visitor");
    return visitor.kind === "user" ? show(c, visitor) : askForLogin(c, visitor);
  })
  .route("/", ownAccount);

async function show(c: Context<PageEnv>, visitor: User): Promise<Response> {
  const { user } = visitor;
  const name = accountOfUser(user);
  const [listed, account] = await Promise.all([
    runOne(c.get("store"), { kind: "listUser", user }),
    name === undefined ? null : new Accounts(c.env.DB).find(name),
  ]);
  if (listed.status !== Status.Ok) return refuseUnknown(c);
  const { sessions } = listed;
  if (acceptsHtml(c)) return c.html(<MePage visitor={visitor} account={account} sessions={sessions} />);
  const { createdAt = null, lastLoginAt = null } = account ?? {};
  return c.json({ user, createdAt, lastLoginAt, sessid: visitor.sessid, sessions });
}
