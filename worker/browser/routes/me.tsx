import { type Context, Hono } from "hono";
import * as v from "valibot";
import { Status } from "../../../protocol/status.ts";
import { SessidText } from "../../http/schemas.ts";
import { clearSessionCookie } from "../../http/session-cookie.ts";
import { runOne } from "../../session-store/run-one.ts";
import { accountOfUser } from "../account-rules.ts";
import { Accounts } from "../accounts.ts";
import { askForLogin, refuseUnknown } from "../ask-for-login.ts";
import { readForm } from "../credentials-form.ts";
import { MePage } from "../pages/me-page.tsx";
import { refusePage } from "../refuse-page.tsx";
import { acceptsHtml, type PageEnv, type Visitor } from "../visitor.ts";
import { ownAccount } from "./own-account.tsx";

type User = Extract<Visitor, { kind: "user" }>;

/** `/me`: a page that needs a login. */
export const me = new Hono<PageEnv>()
  .get("/", async (c) => {
    const visitor = c.get("visitor");
    return visitor.kind === "user" ? show(c, visitor) : askForLogin(c, visitor);
  })
  .post("/sessions/end", async (c) => {
    const visitor = c.get("visitor");
    return visitor.kind === "user" ? end(c, visitor) : askForLogin(c, visitor);
  })
  .post("/sessions/end-others", async (c) => {
    const visitor = c.get("visitor");
    return visitor.kind === "user" ? endOthers(c, visitor) : askForLogin(c, visitor);
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

async function end(c: Context<PageEnv>, { user, sessid: own }: User): Promise<Response> {
  const wanted = v.safeParse(SessidText, (await readForm(c))("sessid"));
  if (!wanted.success) return refusePage(c, "invalid", "Not a session", "sessid: the number of one of your sessions");
  const sessid = wanted.output;
  const { status } = await runOne(c.get("store"), { kind: "delete", sessid, user });
  if (status === Status.Unavailable) return refuseUnknown(c);
  if (status === Status.Denied) return refusePage(c, "denied", "Not yours", "You can end your own sessions only.");
  // One that ended meanwhile is what was wanted.
  if (sessid !== own) return c.redirect("/me", 303);
  clearSessionCookie(c);
  return c.redirect("/", 303);
}

/** This session stays as it is: a new one in its place would live longer than SESSION_MAX_SECONDS after the login. */
async function endOthers(c: Context<PageEnv>, { user, sessid }: User): Promise<Response> {
  const { status } = await runOne(c.get("store"), { kind: "deleteUser", user, except: sessid });
  return status === Status.Ok ? c.redirect("/me", 303) : refuseUnknown(c);
}
