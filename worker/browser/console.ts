import { type Context, Hono, type MiddlewareHandler } from "hono";
import * as v from "valibot";
import { Status } from "../../protocol/status-codes.ts";
import { PACKAGE_VERSION, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";
import { problem, statusProblem } from "../http/problem.ts";
import { SessidText, User } from "../http/schemas.ts";
import { limitBody, query, requireUtf8 } from "../http/validate.ts";
import { openHub, openWebhooks } from "../isolate.ts";
import type { BridgesReach } from "../leases/acknowledgements.ts";
import { EventsQuery, respondWithEvents } from "../routes/events.ts";
import { rooms } from "../routes/rooms.ts";
import { runOne, STORE_DEADLINE_MS, settledWithin } from "../session-store/session-store.ts";
import { showConsole } from "./pages/console.tsx";
import { askForLogin, refusePage, refuseUnknown } from "./pages/refuse-page.tsx";
import { consoleRight, isRead, type PageEnv } from "./visitor.ts";

const NO_GRANT = "The console needs the grant console or console:write, which this session does not have.";

/** The sessions of a user that one response has, the newest: as many as MAX_SESSIONS_PER_USER allows by default. 10,000 would be 2 MB. */
const MAX_LISTED = 100;

const UserQuery = v.strictObject({ user: User });
const SessidQuery = v.strictObject({ sessid: SessidText });

/** With the user that the operator saw, no other user is hit who has got the number since. */
const EndQuery = v.strictObject({ sessid: SessidText, user: v.optional(User) });

/**
 * `/console`: the operators' page, and what its script asks for. Each request is admitted by the session of its cookie as the store
 * has it then; an API key counts for nothing here. No response has a session token.
 */
export const operatorConsole = new Hono<PageEnv>()
  .use(admitOperator(), limitBody(), requireUtf8())
  .get("/", showConsole)
  .get("/count", async (c) => {
    const { status, sessions, users } = await runOne(c.get("store"), { kind: "count" });
    return status === Status.Ok ? c.json({ at: Date.now(), sessions, users }) : statusProblem(c, status);
  })
  .get("/events", query(EventsQuery), async (c) => {
    const { sessid = 0, secretHash = "" } = c.get("credential") ?? {};
    const response = await respondWithEvents(c, c.req.valid("query"), sessid);
    // From now on the hub ends the stream with the session. What became of the session before, the store knows.
    const { session } = await runOne(c.get("store"), { kind: "identify", sessid, secretHash });
    if (consoleRight(session?.grants) !== undefined) return response;
    await response.body?.cancel();
    return problem(c, "unauthenticated", "the session has ended");
  })
  .get("/user", query(UserQuery), async (c) => {
    const { status, sessions } = await runOne(c.get("store"), { kind: "listUser", ...c.req.valid("query") });
    if (status !== Status.Ok) return statusProblem(c, status);
    return c.json({ total: sessions.length, sessions: sessions.slice(-MAX_LISTED).reverse() });
  })
  .delete("/user", query(UserQuery), async (c) => {
    const { status, deleted } = await runOne(c.get("store"), { kind: "deleteUser", ...c.req.valid("query") });
    return status === Status.Ok ? c.json({ ended: deleted, reach: await reach(c) }) : statusProblem(c, status);
  })
  .get("/session", query(SessidQuery), async (c) => {
    const { status, session } = await runOne(c.get("store"), { kind: "get", ...c.req.valid("query") });
    return status === Status.Ok ? c.json(session) : statusProblem(c, status);
  })
  .delete("/session", query(EndQuery), async (c) => {
    const { user, sessid } = c.req.valid("query");
    const { status } = await runOne(c.get("store"), { kind: "delete", sessid, ...(user !== undefined && { user }) });
    if (status === Status.Ok) return c.json({ ended: 1, reach: await reach(c) });
    return statusProblem(c, status === Status.Denied ? Status.NotFound : status);
  })
  .get("/bridges", async (c) => {
    const [bridges, webhook] = await Promise.all([openHub(c.env).status(), openWebhooks(c.env).status()]);
    return c.json({ edge: { version: PACKAGE_VERSION, protocol: WIRE_PROTOCOL_VERSION }, bridges, webhook });
  })
  .route("/rooms", rooms);

/** How far an end that was just answered has reached; null if that is not known. The end itself is done. */
async function reach(c: Context<PageEnv>): Promise<BridgesReach | null> {
  const deadlineMs = c.get("config").revocationBoundMs + STORE_DEADLINE_MS;
  return (await settledWithin(deadlineMs, openHub(c.env).reach())) ?? null;
}

/**
 * Admits sessions with the grant `console`, and those with `console:write` to what changes something. A request that a page of
 * another site caused is refused. (pages.tsx has refused changes without an Origin of this host before.)
 */
function admitOperator(): MiddlewareHandler<PageEnv> {
  return async function admitOperator(c, next) {
    const visitor = c.get("visitor");
    const isPage = c.req.path === "/console";
    // A link may lead to the page from anywhere. "none": the user typed the address.
    if (!isPage && !["same-origin", "none"].includes(c.req.header("Sec-Fetch-Site") ?? "none")) {
      return problem(c, "denied", "Sec-Fetch-Site: only the console may ask for this");
    }
    if (visitor.kind === "unknown") return isPage ? refuseUnknown(c) : problem(c, "unavailable");
    if (visitor.kind !== "user") {
      return isPage ? askForLogin(c, visitor, "/console") : problem(c, "unauthenticated", "a login is needed");
    }
    const right = consoleRight(visitor.grants);
    if (right === undefined) {
      return isPage ? refusePage(c, "denied", "Not an operator", NO_GRANT) : problem(c, "denied", NO_GRANT);
    }
    if (right === "read" && !isRead(c)) return problem(c, "denied", "the session lacks the grant console:write");
    return next();
  };
}
