import type { GenericSchema } from "valibot";
import { AccountChange, AccountPage, AccountView, ChangedAccount, DeletedAccount, NewAccount } from "./accounts.ts";
import { Health } from "./health.ts";
import { PostedMessage, RoomMessageBody, RoomView } from "./rooms.ts";
import {
  CheckList,
  CheckVerdicts,
  Count,
  CreatedSession,
  DeletedSessions,
  NewSession,
  SessionView,
  UserSessions,
} from "./sessions.ts";

/** One operation of the API, in terms of the schemas that its route validates with. */
export interface ApiOperation {
  readonly method: "get" | "post" | "patch" | "delete";
  /** OpenAPI's spelling: `/v1/sessions/{sessid}`. */
  readonly path: string;
  readonly caller: "service" | "client" | "anyone";
  readonly summary: string;
  readonly parameters?: readonly ApiParameter[];
  readonly body?: GenericSchema | "packets";
  /** The successful answers; a status without a schema has no body. */
  readonly responses: Readonly<Record<number, { description: string; body?: GenericSchema | "packets" }>>;
  /** HTTP statuses of its problem answers, besides the ones that every caller of its kind may get. */
  readonly problems: readonly number[];
}

export interface ApiParameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly description: string;
  readonly required?: true;
}

const sessid: ApiParameter = { name: "sessid", in: "path", required: true, description: "Session number, an int32" };
const user: ApiParameter = { name: "user", in: "path", required: true, description: "User, 1..128 bytes of UTF-8" };
const account: ApiParameter = {
  name: "name",
  in: "path",
  required: true,
  description: "Name of a browser account, without regard to case",
};
const room: ApiParameter = {
  name: "room",
  in: "path",
  required: true,
  description: "Room, 1..64 characters of [A-Za-z0-9_.-]",
};
const member: ApiParameter = {
  name: "member",
  in: "path",
  required: true,
  description: "A player's number in the room",
};

/** Every operation, in the order in which the documentation shows them. */
export const API_OPERATIONS: readonly ApiOperation[] = [
  {
    method: "post",
    path: "/v1/sessions",
    caller: "service",
    summary: "Issue a session, or register the given sessid",
    body: NewSession,
    responses: {
      200: { description: "The same user had this sessid: refreshed, with a new token", body: CreatedSession },
      201: { description: "Created", body: CreatedSession },
    },
    problems: [400, 409, 413, 429],
  },
  {
    method: "get",
    path: "/v1/sessions/{sessid}",
    caller: "service",
    summary: "Read a session; does not slide its lifetime",
    parameters: [sessid],
    responses: { 200: { description: "The session", body: SessionView } },
    problems: [400, 404],
  },
  {
    method: "delete",
    path: "/v1/sessions/{sessid}",
    caller: "service",
    summary: "End a session",
    parameters: [sessid, { name: "user", in: "query", description: "End it only if it belongs to this user" }],
    responses: { 204: { description: "Ended" } },
    problems: [400, 403, 404],
  },
  {
    method: "delete",
    path: "/v1/sessions",
    caller: "service",
    summary: "End every session there is, whosever it is",
    parameters: [
      { name: "confirm", in: "query", required: true, description: '"all", so that nobody does it by mistake' },
    ],
    responses: { 200: { description: "None is left; how many were ended", body: DeletedSessions } },
    problems: [400],
  },
  {
    method: "post",
    path: "/v1/sessions/check",
    caller: "service",
    summary: "Check up to 1000 sessions in one round trip; slides their lifetimes",
    body: CheckList,
    responses: { 200: { description: "The verdicts, in the order of the request", body: CheckVerdicts } },
    problems: [400, 413],
  },
  {
    method: "get",
    path: "/v1/users/{user}/sessions",
    caller: "service",
    summary: "List a user's sessions",
    parameters: [user],
    responses: { 200: { description: "The live sessions", body: UserSessions } },
    problems: [400],
  },
  {
    method: "delete",
    path: "/v1/users/{user}/sessions",
    caller: "service",
    summary: "End all sessions of a user",
    parameters: [user],
    responses: { 200: { description: "How many were ended", body: DeletedSessions } },
    problems: [400],
  },
  {
    method: "get",
    path: "/v1/accounts",
    caller: "service",
    summary: "List browser accounts by name, page by page",
    parameters: [
      { name: "after", in: "query", description: "The names behind this one: the `next` of the page before" },
      { name: "limit", in: "query", description: "Accounts on a page, 1..1000; by default 100" },
    ],
    responses: { 200: { description: "A page", body: AccountPage } },
    problems: [400],
  },
  {
    method: "post",
    path: "/v1/accounts",
    caller: "service",
    summary: "Create a browser account, also where the sign-up is closed",
    body: NewAccount,
    responses: { 201: { description: "Created", body: AccountView } },
    problems: [400, 409, 413],
  },
  {
    method: "get",
    path: "/v1/accounts/{name}",
    caller: "service",
    summary: "Read a browser account",
    parameters: [account],
    responses: { 200: { description: "The account", body: AccountView } },
    problems: [400, 404],
  },
  {
    method: "patch",
    path: "/v1/accounts/{name}",
    caller: "service",
    summary: "Set a browser account's grants, disable or enable it; ends its sessions, but for enabling",
    parameters: [account],
    body: AccountChange,
    responses: { 200: { description: "The account, and how many sessions were ended", body: ChangedAccount } },
    problems: [400, 404, 413],
  },
  {
    method: "delete",
    path: "/v1/accounts/{name}",
    caller: "service",
    summary: "Delete a browser account and end its sessions",
    parameters: [account],
    responses: { 200: { description: "Deleted; how many sessions were ended", body: DeletedAccount } },
    problems: [400, 404],
  },
  {
    method: "get",
    path: "/v1/count",
    caller: "service",
    summary: "Exact numbers of live sessions and of users that have one",
    responses: { 200: { description: "The numbers", body: Count } },
    problems: [],
  },
  {
    method: "post",
    path: "/v1/packets",
    caller: "service",
    summary: "Service packets in, their responses out, in order; at most 1000 packets, 512 KiB",
    body: "packets",
    responses: { 200: { description: "One response packet for each packet", body: "packets" } },
    problems: [400, 413],
  },
  {
    method: "get",
    path: "/v1/rooms/{room}",
    caller: "service",
    summary: "Who is in a room, and how far its log is",
    parameters: [room],
    responses: { 200: { description: "The room; without members if nobody ever came", body: RoomView } },
    problems: [400],
  },
  {
    method: "post",
    path: "/v1/rooms/{room}/messages",
    caller: "service",
    summary: "Send a reliable message to a room, or to one member of it",
    parameters: [room],
    body: RoomMessageBody,
    responses: { 201: { description: "It is in the log", body: PostedMessage } },
    problems: [400, 404, 413],
  },
  {
    method: "delete",
    path: "/v1/rooms/{room}/members/{member}",
    caller: "service",
    summary: "Remove a member; its client does not come back by itself",
    parameters: [room, member],
    responses: { 204: { description: "Removed" } },
    problems: [400, 404],
  },
  {
    method: "get",
    path: "/v1/rooms/{room}/socket",
    caller: "client",
    summary: "A player's WebSocket; a refusal comes as a Closed packet",
    parameters: [
      room,
      {
        name: "Sec-WebSocket-Protocol",
        in: "header",
        description: "artoria.v1, and for browsers, which set no Authorization here, artoria.token.<27 characters>",
      },
    ],
    responses: { 101: { description: "The WebSocket; player packets as binary messages" } },
    problems: [400],
  },
  {
    method: "get",
    path: "/v1/check",
    caller: "client",
    summary: "May this client enter? For proxies, with any method; slides the session's lifetime",
    parameters: [
      { name: "resource", in: "query", description: "Resource that the session's grants must allow" },
      { name: "Cache-Control", in: "header", description: "max-age=N, 0..5: how many seconds old the answer may be" },
      { name: "X-Original-URI", in: "header", description: "The same: the path of this URI" },
      { name: "X-Forwarded-Uri", in: "header", description: "The same, as Traefik sends it" },
    ],
    responses: { 200: { description: "Allowed; X-Session-Id and X-Session-User say who" } },
    problems: [403],
  },
  {
    method: "get",
    path: "/v1/session",
    caller: "client",
    summary: "Who am I?",
    responses: { 200: { description: "The token's session", body: SessionView } },
    problems: [],
  },
  {
    method: "delete",
    path: "/v1/session",
    caller: "client",
    summary: "Log out",
    responses: { 204: { description: "Ended" } },
    problems: [],
  },
  {
    method: "get",
    path: "/healthz",
    caller: "anyone",
    summary: "The worker runs",
    responses: { 200: { description: "It does", body: Health } },
    problems: [],
  },
  {
    method: "get",
    path: "/readyz",
    caller: "anyone",
    summary: "The session store answers",
    responses: { 200: { description: "It does", body: Health } },
    problems: [503],
  },
];
