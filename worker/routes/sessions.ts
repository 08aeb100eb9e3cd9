import { Hono } from "hono";
import * as v from "valibot";
import { WEB_USER_PREFIX } from "../../protocol/service-packets.ts";
import type { RegisterRequest, Session, SessionChoice } from "../../protocol/session-request.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import { formatToken, makeToken, parseToken, TOKEN_SECRET_BYTES } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { problem, statusProblem } from "../http/problem.ts";
import { EpochMs, Grant, Grants, Sessid, SessidText, User } from "../http/schemas.ts";
import { jsonBody, pathParams, query } from "../http/validate.ts";
import { hashSecret, hashToken } from "../session-store/secrets.ts";
import { runOne } from "../session-store/session-store.ts";

/** Ten years, as in config.ts: the absolute lifetime ends a session long before. */
const MAX_TTL_SECONDS = 10 * 365 * 24 * 3600;

/** INET6_ADDRSTRLEN - 1: eight groups of which the last two are an IPv4 address. A zone (fe80::1%eth0) has no other bound. */
const MAX_IP_CHARACTERS = 45;

const SessidParam = v.object({ sessid: SessidText });
const OwnerQuery = v.object({ user: v.optional(User) });
const UserParam = v.object({ user: User });

/** A user that a service may create a session for. */
const NewUser = v.pipe(
  User,
  v.check((user) => !user.startsWith(WEB_USER_PREFIX), `"${WEB_USER_PREFIX}" is kept for browser accounts`),
);

/** POST /v1/sessions */
export const NewSession = v.strictObject({
  user: NewUser,
  ip: v.optional(
    v.pipe(
      v.string("allowed is an IPv4 or IPv6 address"),
      v.ip("allowed is an IPv4 or IPv6 address"),
      v.maxLength(MAX_IP_CHARACTERS, "allowed is an IPv4 or IPv6 address"),
      v.metadata({ description: "IPv4 or IPv6 address" }),
    ),
  ),
  sessid: v.optional(Sessid),
  grants: v.optional(Grants),
  ttlSeconds: v.optional(
    v.pipe(
      v.number(`allowed is a whole number, 1..${MAX_TTL_SECONDS}`),
      v.integer(`allowed is a whole number, 1..${MAX_TTL_SECONDS}`),
      v.minValue(1, `allowed is 1..${MAX_TTL_SECONDS}`),
      v.maxValue(MAX_TTL_SECONDS, `allowed is 1..${MAX_TTL_SECONDS}`),
      v.metadata({ description: "Idle lifetime in seconds, in place of the configured one" }),
    ),
  ),
});

/** POST /v1/sessions/check */
export const CheckList = v.strictObject({
  sessids: v.pipe(
    v.array(Sessid, "allowed is a list of sessids"),
    v.minLength(1, `allowed are 1..${MAX_BATCH_REQUESTS} sessids`),
    v.maxLength(MAX_BATCH_REQUESTS, `allowed are 1..${MAX_BATCH_REQUESTS} sessids`),
  ),
});

/** Tokens in one request; each costs the edge a hash and the store a record. */
const MAX_TOKENS = 100;

const TOKEN_RULE = "allowed is a session token, 27 characters of base64url";

/** POST /v1/sessions/identify. No message contains the token. */
export const TokenList = v.strictObject({
  tokens: v.pipe(
    v.array(
      v.pipe(
        v.string(TOKEN_RULE),
        v.metadata({ description: "Session token, 27 characters of base64url" }),
        v.transform(parseToken),
        v.custom<Uint8Array<ArrayBuffer>>((token) => token !== undefined, TOKEN_RULE),
      ),
      "allowed is a list of tokens",
    ),
    v.minLength(1, `allowed are 1..${MAX_TOKENS} tokens`),
    v.maxLength(MAX_TOKENS, `allowed are 1..${MAX_TOKENS} tokens`),
  ),
});

const CONFIRM_RULE = 'allowed is "all": it ends every session there is';

/** DELETE /v1/sessions: a request that only lacks its sessid must not end all sessions. */
const EndAllConfirmation = v.strictObject({
  confirm: v.pipe(v.optional(v.string(CONFIRM_RULE), ""), v.literal("all", CONFIRM_RULE)),
});

/** A created session, with its token, which is shown nowhere else. */
export const CreatedSession = v.object({
  sessid: Sessid,
  token: v.pipe(v.string(), v.metadata({ description: "Session token, 27 characters of base64url; shown once" })),
  user: User,
  expiresAt: EpochMs,
});

/** A session. */
export const SessionView = v.object({
  sessid: Sessid,
  user: v.nullable(User),
  ip: v.nullable(v.string()),
  createdAt: EpochMs,
  expiresAt: EpochMs,
  grants: v.array(Grant),
});

/** The verdicts on a CheckList, in its order. */
export const CheckVerdicts = v.object({ statuses: v.array(v.picklist(["ok", "not_found"])) });

/** Whose the tokens of a TokenList are, in its order. */
export const IdentifiedSessions = v.object({
  sessions: v.array(
    v.variant("status", [
      v.object({
        status: v.literal("ok"),
        sessid: Sessid,
        user: User,
        grants: v.array(Grant),
        expiresAt: EpochMs,
      }),
      v.object({ status: v.literal("not_found") }),
    ]),
  ),
});

/** GET /v1/users/{user}/sessions */
export const UserSessions = v.object({ sessions: v.array(SessionView) });

/** DELETE /v1/users/{user}/sessions */
export const DeletedSessions = v.object({ deleted: v.pipe(v.number(), v.integer(), v.minValue(0)) });

/** GET /v1/count */
export const Count = v.object({
  sessions: v.pipe(v.number(), v.integer(), v.minValue(0)),
  users: v.pipe(v.number(), v.integer(), v.minValue(0)),
});

/** `/v1/sessions`: what services do with sessions. */
export const sessions = new Hono<AppEnv>()
  .post("/", jsonBody(NewSession), async (c) => {
    const { user, ip = null, sessid, grants, ttlSeconds } = c.req.valid("json");
    const choice: SessionChoice = {
      ...(grants && { grants }),
      ...(ttlSeconds && { idleMs: ttlSeconds * 1000 }),
    };
    if (sessid === undefined) {
      const issued = await runOne(c.get("store"), { kind: "issue", user, ip, ...choice });
      if (issued.status !== Status.Ok) return statusProblem(c, issued.status);
      const { expiresAt } = issued;
      return c.json({ sessid: issued.sessid, token: formatToken(issued.token), user, expiresAt }, 201);
    }
    const secret = crypto.getRandomValues(new Uint8Array(TOKEN_SECRET_BYTES));
    const request: RegisterRequest = {
      kind: "register",
      sessid,
      user,
      ip,
      secretHash: await hashSecret(secret),
      ...choice,
    };
    const registered = await runOne(c.get("store"), request);
    if (registered.status !== Status.Ok) return statusProblem(c, registered.status);
    const { created, expiresAt } = registered;
    return c.json({ sessid, token: formatToken(makeToken(sessid, secret)), user, expiresAt }, created ? 201 : 200);
  })
  .post("/check", jsonBody(CheckList), async (c) => {
    const { sessids } = c.req.valid("json");
    const verdicts = await c.get("store").run(sessids.map((sessid) => ({ kind: "check", sessid })));
    const failed = verdicts.find(({ status }) => status !== Status.Ok && status !== Status.NotFound);
    if (failed !== undefined) return statusProblem(c, Status.Unavailable);
    return c.json({ statuses: verdicts.map(({ status }) => (status === Status.Ok ? "ok" : "not_found")) });
  })
  .post("/identify", jsonBody(TokenList), async (c) => {
    const shown = c.req.valid("json").tokens.map((token) => hashToken({ kind: "identify", token }));
    const responses = await c.get("store").run(await Promise.all(shown));
    const identified = responses.filter((response) => response.kind === "identify");
    if (identified.some(({ status }) => status === Status.Unavailable)) return statusProblem(c, Status.Unavailable);
    return c.json({ sessions: identified.map(({ session }) => identity(session)) });
  })
  .delete("/", query(EndAllConfirmation), async (c) => {
    const { ended, complete } = await c.get("store").endAll();
    if (complete) return c.json({ deleted: ended });
    return problem(c, "unavailable", `${ended} sessions were ended, there may be more: send the request again`);
  })
  .get("/:sessid", pathParams(SessidParam), async (c) => {
    const got = await runOne(c.get("store"), { kind: "get", sessid: c.req.valid("param").sessid });
    return got.status === Status.Ok ? c.json(got.session) : statusProblem(c, got.status);
  })
  .delete("/:sessid", pathParams(SessidParam), query(OwnerQuery), async (c) => {
    const { user } = c.req.valid("query");
    const { sessid } = c.req.valid("param");
    const { status } = await runOne(c.get("store"), { kind: "delete", sessid, ...(user !== undefined && { user }) });
    return status === Status.Ok ? c.body(null, 204) : statusProblem(c, status);
  });

/** An anonymous session is nobody's, so its token is not found. */
function identity(session: Session | null) {
  if (session === null || session.user === null) return { status: "not_found" };
  const { sessid, user, grants, expiresAt } = session;
  return { status: "ok", sessid, user, grants, expiresAt };
}

/** `/v1/users/{user}/sessions`: all sessions of one user. */
export const users = new Hono<AppEnv>()
  .get("/:user/sessions", pathParams(UserParam), async (c) => {
    const listed = await runOne(c.get("store"), { kind: "listUser", user: c.req.valid("param").user });
    return listed.status === Status.Ok ? c.json({ sessions: listed.sessions }) : statusProblem(c, listed.status);
  })
  .delete("/:user/sessions", pathParams(UserParam), async (c) => {
    const ended = await runOne(c.get("store"), { kind: "deleteUser", user: c.req.valid("param").user });
    return ended.status === Status.Ok ? c.json({ deleted: ended.deleted }) : statusProblem(c, ended.status);
  });

/** `/v1/count`: exact numbers of live sessions and of the users that have one. */
export const count = new Hono<AppEnv>().get("/", async (c) => {
  const { status, sessions, users } = await runOne(c.get("store"), { kind: "count" });
  return status === Status.Ok ? c.json({ sessions, users }) : statusProblem(c, status);
});
