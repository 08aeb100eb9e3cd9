import { type Context, Hono } from "hono";
import * as v from "valibot";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { Status } from "../../protocol/status-codes.ts";
import { readSubprotocols, WEBSOCKET_SUBPROTOCOL } from "../../protocol/web-socket-subprotocol.ts";
import type { AppEnv } from "../app-env.ts";
import { isSameOrigin, socketCredential } from "../http/client-credential.ts";
import { problem } from "../http/problem.ts";
import { pathParams } from "../http/validate.ts";
import {
  admittedRequest,
  type Refusal,
  type RoomCredential,
  refusal,
  refuseUpgrade,
  roomResource,
} from "../rooms/room-admission.ts";
import { runOne } from "../session-store/session-store.ts";
import { RoomName } from "./rooms.ts";

type Admission = { readonly kind: "admitted"; readonly credential: RoomCredential } | Refusal;

/** `/v1/rooms/{room}/socket`: a player's WebSocket. The session is checked here, before the room gets the request. */
export const roomSocket = new Hono<AppEnv>().get(
  "/:room/socket",
  pathParams(v.object({ room: RoomName })),
  async (c) => {
    if (c.req.header("Upgrade")?.toLowerCase() !== "websocket") {
      return problem(c, "invalid", "Upgrade: a WebSocket is needed here");
    }
    const { webSocket } = await enter(c, c.req.valid("param").room);
    const { named } = readSubprotocols(c.req.header("Sec-WebSocket-Protocol"));
    // A new response, because the headers of a fetched one are immutable.
    return new Response(null, {
      status: 101,
      webSocket,
      headers: named ? { "Sec-WebSocket-Protocol": WEBSOCKET_SUBPROTOCOL } : {},
    });
  },
);

async function enter(c: Context<AppEnv>, room: string): Promise<Response> {
  const admission = await admit(c, room);
  if (admission.kind === "refused") return refuseUpgrade(admission);
  try {
    return await c.env.ROOMS.getByName(room).fetch(admittedRequest({ room, credential: admission.credential }));
  } catch {
    // The room is being moved, or is overloaded. Clients dial again after their back-off.
    return refuseUpgrade(refusal(ClosedCode.Unavailable, "the room cannot be reached"));
  }
}

async function admit(c: Context<AppEnv>, room: string): Promise<Admission> {
  const shown = await socketCredential(c);
  if (shown === undefined) return refusal(ClosedCode.SessionInvalid, "a valid session token is needed");
  const { sessid, secretHash, fromCookie } = shown;
  // A browser sends the cookie with the WebSockets of every page, also of other sites.
  if (fromCookie && !isSameOrigin(c)) return refusal(ClosedCode.Denied, "Origin: with the cookie it is this host");
  const resource = roomResource(room);
  const { status, session } = await runOne(c.get("store"), { kind: "identify", sessid, secretHash, resource });
  if (status === Status.Unavailable) return refusal(ClosedCode.Unavailable, "the session store cannot be reached");
  if (session === null) return refusal(ClosedCode.SessionInvalid, "the session has ended");
  // A browser has an anonymous session before its login.
  if (session.user === null) return refusal(ClosedCode.SessionInvalid, "a valid session token is needed");
  if (status !== Status.Ok) return refusal(ClosedCode.Denied, `the session lacks the grant ${resource}`);
  return { kind: "admitted", credential: { sessid, secretHash, user: session.user } };
}
