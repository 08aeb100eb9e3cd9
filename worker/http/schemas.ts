import * as v from "valibot";
import { MAX_RESOURCE_BYTES, MAX_USER_BYTES, WEB_USER_PREFIX } from "../../protocol/service-packets.ts";

/** Packets and sessids in one request, as docs/http-api.md promises. */
export const MAX_BATCH = 1000;

/** Grants of one session: with the longest resources 32 KiB, half of a JSON body. */
const MAX_GRANTS = 64;

/** Ten years, as in settings.ts: the absolute lifetime ends a session long before. */
const MAX_TTL_SECONDS = 10 * 365 * 24 * 3600;

/** INET6_ADDRSTRLEN - 1: eight groups of which the last two are an IPv4 address. A zone (fe80::1%eth0) has no other bound. */
const MAX_IP_CHARACTERS = 45;

const utf8 = new TextEncoder();

/** An int32 other than 0. */
export const Sessid = v.pipe(
  v.number("allowed is a whole number"),
  v.integer("allowed is a whole number"),
  v.minValue(-(2 ** 31), "allowed is -2147483648..2147483647"),
  v.maxValue(2 ** 31 - 1, "allowed is -2147483648..2147483647"),
  v.notValue(0, "0 is never a session"),
  v.metadata({ description: "Session number, an int32 other than 0" }),
);

/** A sessid in a path. */
export const SessidText = v.pipe(
  v.string(),
  v.regex(/^-?[0-9]{1,10}$/, "allowed is a whole number"),
  v.transform(Number),
  Sessid,
);

/** The owner of a session. */
export const User = v.pipe(
  wireText(MAX_USER_BYTES),
  v.metadata({ description: `User, 1..${MAX_USER_BYTES} bytes of UTF-8 without U+0000` }),
);

/** A user that a service may create a session for. */
export const NewUser = v.pipe(
  User,
  v.check((user) => !user.startsWith(WEB_USER_PREFIX), `"${WEB_USER_PREFIX}" is kept for browser accounts`),
);

const Grant = v.pipe(
  wireText(MAX_RESOURCE_BYTES),
  v.check((grant) => !grant.slice(0, -1).includes("*"), 'allowed is a resource, or a prefix that ends in "*"'),
  v.metadata({ description: 'Exact resource, or a prefix that ends in "*"' }),
);

/** What a session may enter. */
export const Grants = v.pipe(
  v.array(Grant, "allowed is a list of texts"),
  v.maxLength(MAX_GRANTS, `allowed are ${MAX_GRANTS} grants or fewer`),
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
    v.minLength(1, `allowed are 1..${MAX_BATCH} sessids`),
    v.maxLength(MAX_BATCH, `allowed are 1..${MAX_BATCH} sessids`),
  ),
});

const CONFIRM_RULE = 'allowed is "all": it ends every session there is';

/** DELETE /v1/sessions: nobody ends all sessions because a sessid was forgotten. */
export const EndAllConfirmation = v.strictObject({
  confirm: v.pipe(v.optional(v.string(CONFIRM_RULE), ""), v.literal("all", CONFIRM_RULE)),
});

/** A moment. */
export const EpochMs = v.pipe(v.number(), v.integer(), v.metadata({ description: "Epoch milliseconds" }));

/** A created session, with the one copy of its token. */
export const CreatedSession = v.object({
  sessid: Sessid,
  token: v.pipe(v.string(), v.metadata({ description: "Session token, 27 characters of base64url; shown once" })),
  user: User,
  expiresAt: EpochMs,
});

/** A session, as its readers see it. */
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

/** GET /v1/users/{user}/sessions */
export const UserSessions = v.object({ sessions: v.array(SessionView) });

/** DELETE /v1/users/{user}/sessions */
export const DeletedSessions = v.object({ deleted: v.pipe(v.number(), v.integer(), v.minValue(0)) });

/** GET /v1/count */
export const Count = v.object({
  sessions: v.pipe(v.number(), v.integer(), v.minValue(0)),
  users: v.pipe(v.number(), v.integer(), v.minValue(0)),
});

/** GET /healthz, /readyz */
export const Health = v.object({ status: v.literal("ok") });

/** Every error (RFC 9457). */
export const Problem = v.object({
  type: v.literal("about:blank"),
  title: v.string(),
  status: v.pipe(v.number(), v.integer()),
  code: v.picklist([
    "invalid",
    "unauthenticated",
    "denied",
    "not_found",
    "conflict",
    "too_large",
    "too_slow",
    "too_many",
    "unavailable",
    "not_configured",
  ]),
  detail: v.optional(v.string()),
});

/** Text that a packet could carry too: the same user and resource on every way in. */
function wireText(maxBytes: number) {
  const allowed = `allowed are 1..${maxBytes} bytes of UTF-8 without U+0000`;
  return v.pipe(
    v.string(allowed),
    v.minLength(1, allowed),
    v.check((text) => text.isWellFormed() && !text.includes("\0") && utf8.encode(text).length <= maxBytes, allowed),
  );
}
