/// <reference path="../node-crypto.d.ts" />
import { createHash } from "node:crypto";
import { ClosedCode, WEBSOCKET_CLOSE_BASE } from "../../protocol/closed-codes.ts";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { writePlayerPacket } from "../../protocol/player-packets.ts";
import type { RoomIdentity } from "../../protocol/reliable/room/room-connections.ts";
import { type IdentifyRequest, MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import { splitToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { DoubtfulSessions } from "../events/watched-rooms.ts";
import { sameSecret } from "../session-store/secrets.ts";
import type { EndReason } from "../session-store/session-log.ts";
import type { SessionStore } from "../session-store/session-store.ts";

/** The session of a connection, as the worker got it from the session store before it called the room. */
export interface RoomCredential {
  readonly sessid: number;
  /** SHA-256 of the token's secret, base64url: it cannot be used as a credential. */
  readonly secretHash: string;
  readonly user: string;
}

/** The grant that a session needs to enter a room. */
export function roomResource(room: string): string {
  return `room:${room}`;
}

/**
 * A seat belongs to a token. A sessid that was reused has another secret, so it gets another seat; a registration that keeps
 * the token (over TCP) keeps the seat.
 */
export function roomIdentity({ sessid, secretHash, user }: RoomCredential): RoomIdentity {
  return { session: `${sessid}.${secretHash}`, user, acceptsToken };

  function acceptsToken(token: Uint8Array): boolean {
    const shown = splitToken(token);
    // Synchronous: between a Join and its response nothing else may happen in the room.
    const shownHash = createHash("sha256").update(shown.secret).digest("base64url");
    return shown.sessid === sessid && sameSecret(secretHash, shownHash);
  }
}

/** The number of a session, which the room knows by {@link RoomIdentity.session}. */
export function sessidOf(session: string): number {
  return Number.parseInt(session, 10);
}

/** Asks whether a session may still be in the room, as its upgrade was checked. */
function identifyAgain(session: string, room: string): IdentifyRequest {
  const [, secretHash = ""] = session.split(".", 2);
  return { kind: "identify", sessid: sessidOf(session), secretHash, resource: roomResource(room) };
}

/** An upgrade that the worker admitted. */
export interface AdmittedUpgrade {
  readonly room: string;
  readonly credential: RoomCredential;
}

/** JSON, percent-encoded because a header is Latin-1. Only the worker can reach a room, so nobody else can set it. */
const ADMITTED_HEADER = "Artoria-Admitted";

/** The request that passes an upgrade to its room. It contains nothing that the client sent. */
export function admittedRequest(admitted: AdmittedUpgrade): Request {
  const headers = { Upgrade: "websocket", [ADMITTED_HEADER]: encodeURIComponent(JSON.stringify(admitted)) };
  return new Request("https://room/", { headers });
}

/** Reads what {@link admittedRequest} wrote. */
export function readAdmitted(request: Request): AdmittedUpgrade {
  return JSON.parse(decodeURIComponent(request.headers.get(ADMITTED_HEADER) ?? "")) as AdmittedUpgrade;
}

/** Why a player may not enter a room. */
export interface Refusal {
  readonly kind: "refused";
  readonly code: ClosedCode;
  /** At most 123 bytes, what a WebSocket's close carries (RFC 6455 §5.5: 125 - 2). */
  readonly message: string;
}

export function refusal(code: ClosedCode, message: string): Refusal {
  return { kind: "refused", code, message };
}

/**
 * Refuses an upgrade so that a browser can see why: it accepts the WebSocket, sends Closed and closes it
 * (docs/wire-protocol.md, "Player packets").
 */
export function refuseUpgrade({ code, message }: Refusal): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  const writer = new ByteWriter();
  writePlayerPacket(writer, { kind: "closed", code, message });
  server.send(writer.finish());
  server.close(WEBSOCKET_CLOSE_BASE + code, message);
  return new Response(null, { status: 101, webSocket: client });
}

/** A session that may not stay in the room. */
export interface InvalidSession {
  readonly session: string;
  readonly code: ClosedCode;
  readonly message: string;
}

/** What a player is told whose session has ended, if the room knows why. */
const ENDED: Readonly<Record<EndReason, string>> = {
  deleted: "the session was ended",
  evicted: "the session gave way to a newer one of its user",
  expired: "the session has expired",
};

/**
 * Checks sessions that are in a room, which also renews them: a session in a room is in use. A session that ended or lost its grant
 * may not stay. While the store is unavailable, all may stay.
 *
 * @param reasons why sessions have ended, as far as it is known
 */
export async function findInvalidSessions(
  store: SessionStore,
  room: string,
  sessions: readonly string[],
  reasons?: DoubtfulSessions,
): Promise<InvalidSession[]> {
  const invalid: InvalidSession[] = [];
  for (let from = 0; from < sessions.length; from += MAX_BATCH_REQUESTS) {
    const batch = sessions.slice(from, from + MAX_BATCH_REQUESTS);
    // As for a bridge: a replica may not know yet what the hub has told.
    const requests = batch.map((session) => identifyAgain(session, room));
    const responses = await store.run(requests, { forBridge: true });
    for (const [index, session] of batch.entries()) {
      const status = responses[index]?.status;
      if (status === Status.NotFound) {
        const reason = reasons?.get(sessidOf(session));
        const message = reason ? ENDED[reason] : "the session has ended";
        invalid.push({ session, code: ClosedCode.SessionInvalid, message });
      } else if (status === Status.Denied) {
        invalid.push({ session, code: ClosedCode.Denied, message: "the session lacks the grant" });
      }
    }
  }
  return invalid;
}
