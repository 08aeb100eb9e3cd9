import type { GenericSchema } from "valibot";
import {
  AccountChange,
  AccountPage,
  AccountView,
  ChangedAccount,
  DeletedAccount,
  NewAccount,
} from "../routes/accounts.ts";
import { EventPage } from "../routes/events.ts";
import { Health } from "../routes/health.ts";
import { PostedMessage, RoomMessageBody, RoomView } from "../routes/rooms.ts";
import {
  CheckList,
  CheckVerdicts,
  Count,
  CreatedSession,
  DeletedSessions,
  IdentifiedSessions,
  NewSession,
  SessionView,
  TokenList,
  UserSessions,
} from "../routes/sessions.ts";

/** One operation of the API, in terms of the schemas that its route validates with. */
export interface ApiOperation extends OperationDetails {
  readonly method: Method;
  /** As OpenAPI spells it: `/v1/sessions/{sessid}`. */
  readonly path: string;
  readonly caller: ApiCaller;
  readonly summary: string;
  /** Those of the path, then the others. */
  readonly parameters: readonly ApiParameter[];
}

/** Who calls: a service with an API key, a client with a session token, or anyone. */
export type ApiCaller = "service" | "client" | "anyone";

export interface ApiParameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly description: string;
  readonly required?: true;
}

type Method = "get" | "post" | "patch" | "delete";

interface OperationDetails {
  /** Parameters outside the path. */
  readonly parameters?: readonly ApiParameter[];
  readonly body?: GenericSchema | "packets";
  /** The successful responses by status; one without a schema has no body. */
  readonly responses: Readonly<Record<number, readonly [description: string, body?: GenericSchema | "packets"]>>;
  /** HTTP statuses of its problems, besides those that every caller of its kind may get. */
  readonly problems?: readonly number[];
}

const PATH_PARAMETERS: Readonly<Record<string, string>> = {
  sessid: "Session number, an int32",
  user: "User, 1..128 bytes of UTF-8",
  name: "Name of a browser account, without regard to case",
  room: "Room, 1..64 characters of [A-Za-z0-9_.-]",
  member: "A player's number in the room",
};

const PROTOCOL = header("X-Artoria-Protocol", "The version of the wire protocol that the bridge speaks");

/** Every operation, in the order in which the documentation shows them. */
export const API_OPERATIONS: readonly ApiOperation[] = [
  operation("service", "post /v1/sessions", "Issue a session, or register the given sessid", {
    body: NewSession,
    responses: {
      200: ["The same user had this sessid: refreshed, with a new token", CreatedSession],
      201: ["Created", CreatedSession],
    },
    problems: [400, 409, 413, 429],
  }),
  operation("service", "get /v1/sessions/{sessid}", "Read a session; does not renew it", {
    responses: { 200: ["The session", SessionView] },
    problems: [400, 404],
  }),
  operation("service", "delete /v1/sessions/{sessid}", "End a session", {
    parameters: [query("user", "End it only if it belongs to this user")],
    responses: { 204: ["Ended"] },
    problems: [400, 403, 404],
  }),
  operation("service", "delete /v1/sessions", "End every session there is, whosever it is", {
    parameters: [{ ...query("confirm", '"all", so that nobody does it by mistake'), required: true }],
    responses: { 200: ["None is left; how many were ended", DeletedSessions] },
    problems: [400],
  }),
  operation("service", "post /v1/sessions/check", "Check up to 1000 sessions in one round trip; renews them", {
    body: CheckList,
    responses: { 200: ["The verdicts, in the order of the request", CheckVerdicts] },
    problems: [400, 413],
  }),
  operation(
    "service",
    "post /v1/sessions/identify",
    "Whose are these tokens? Up to 100 in one round trip; renews them",
    {
      body: TokenList,
      responses: { 200: ["The sessions, in the order of the request", IdentifiedSessions] },
      problems: [400, 413],
    },
  ),
  operation("service", "get /v1/users/{user}/sessions", "List a user's sessions", {
    responses: { 200: ["The live sessions", UserSessions] },
    problems: [400],
  }),
  operation("service", "delete /v1/users/{user}/sessions", "End all sessions of a user", {
    responses: { 200: ["How many were ended", DeletedSessions] },
    problems: [400],
  }),
  operation("service", "get /v1/accounts", "List browser accounts by name, page by page", {
    parameters: [
      query("after", "The names behind this one: the `next` of the page before"),
      query("limit", "Accounts on a page, 1..1000; by default 100"),
    ],
    responses: { 200: ["A page", AccountPage] },
    problems: [400],
  }),
  operation("service", "post /v1/accounts", "Create a browser account, also where the sign-up is closed", {
    body: NewAccount,
    responses: { 201: ["Created", AccountView] },
    problems: [400, 409, 413],
  }),
  operation("service", "get /v1/accounts/{name}", "Read a browser account", {
    responses: { 200: ["The account", AccountView] },
    problems: [400, 404],
  }),
  operation(
    "service",
    "patch /v1/accounts/{name}",
    "Set a browser account's grants, disable or enable it; ends its sessions, but for enabling",
    {
      body: AccountChange,
      responses: { 200: ["The account, and how many sessions were ended", ChangedAccount] },
      problems: [400, 404, 413],
    },
  ),
  operation("service", "delete /v1/accounts/{name}", "Delete a browser account and end its sessions", {
    responses: { 200: ["Deleted; how many sessions were ended", DeletedAccount] },
    problems: [400, 404],
  }),
  operation("service", "get /v1/count", "Exact numbers of live sessions and of users that have one", {
    responses: { 200: ["The numbers", Count] },
  }),
  operation("service", "get /v1/events", "What becomes of sessions: server-sent events, or a page of JSON", {
    parameters: [
      query("after", "The position to go on from; absent: from now on"),
      query("kinds", "Only these kinds: began, changed, ended, with commas between them"),
      query("limit", "Events on a page of JSON, 1..1000; by default 100"),
      header("Last-Event-ID", "The position to go on from, in place of `after`, as a browser sends it"),
      header("Accept", "application/json: one page; otherwise a stream"),
    ],
    responses: { 200: ["A page, or the stream", EventPage] },
    problems: [400, 410],
  }),
  operation(
    "service",
    "post /v1/packets",
    "Service packets in, their responses out, in order; at most 1000 packets, 512 KiB",
    {
      parameters: [
        PROTOCOL,
        header("X-Artoria-Keep", "1: a keep block follows, for a bridge that answers from memory"),
      ],
      body: "packets",
      responses: { 200: ["One response packet for each packet", "packets"] },
      problems: [400, 413],
    },
  ),
  operation("service", "get /v1/leases", "A bridge's WebSocket to the hub, which grants it leases", {
    parameters: [
      PROTOCOL,
      header("X-Artoria-Bridge", "The bridge's version: the hub may ask such a bridge for its status"),
    ],
    responses: { 101: ["The WebSocket; lease messages as binary messages"] },
    problems: [400, 403, 426],
  }),
  operation("service", "get /v1/rooms/{room}", "Who is in a room, and how far its log is", {
    responses: { 200: ["The room; without members if nobody ever came", RoomView] },
    problems: [400],
  }),
  operation("service", "post /v1/rooms/{room}/messages", "Send a reliable message to a room, or to one member of it", {
    body: RoomMessageBody,
    responses: { 201: ["It is in the log", PostedMessage] },
    problems: [400, 404, 413],
  }),
  operation(
    "service",
    "delete /v1/rooms/{room}/members/{member}",
    "Remove a member; its client does not come back by itself",
    { responses: { 204: ["Removed"] }, problems: [400, 404] },
  ),
  operation("client", "get /v1/rooms/{room}/socket", "A player's WebSocket; a refusal comes as a Closed packet", {
    parameters: [
      header(
        "Sec-WebSocket-Protocol",
        "artoria.v1, and for browsers, which set no Authorization here, artoria.token.<27 characters>",
      ),
    ],
    responses: { 101: ["The WebSocket; player packets as binary messages"] },
    problems: [400],
  }),
  operation("client", "get /v1/check", "May this client enter? For proxies, with any method; renews the session", {
    parameters: [
      query("resource", "Resource that the session's grants must allow"),
      header("Cache-Control", "max-age=N, 0..5: how many seconds old the response may be"),
      header("X-Original-URI", "The same: the path of this URI"),
      header("X-Forwarded-Uri", "The same, as Traefik sends it"),
    ],
    responses: { 200: ["Allowed; X-Session-Id and X-Session-User say who"] },
    problems: [403],
  }),
  operation("client", "get /v1/session", "Who am I?", { responses: { 200: ["The token's session", SessionView] } }),
  operation("client", "delete /v1/session", "Log out", { responses: { 204: ["Ended"] } }),
  operation("anyone", "get /healthz", "The worker runs", { responses: { 200: ["It does", Health] } }),
  operation("anyone", "get /readyz", "The session store answers", {
    responses: { 200: ["It does", Health] },
    problems: [503],
  }),
];

function operation(
  caller: ApiCaller,
  route: `${Method} /${string}`,
  summary: string,
  details: OperationDetails,
): ApiOperation {
  const [method, path] = route.split(" ") as [Method, string];
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => pathParameter(name));
  return { method, path, caller, summary, ...details, parameters: [...inPath, ...(details.parameters ?? [])] };
}

function pathParameter(name: string): ApiParameter {
  return { name, in: "path", required: true, description: PATH_PARAMETERS[name] ?? "" };
}

function query(name: string, description: string): ApiParameter {
  return { name, in: "query", description };
}

function header(name: string, description: string): ApiParameter {
  return { name, in: "header", description };
}
