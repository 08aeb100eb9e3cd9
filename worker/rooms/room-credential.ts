/// <reference path="../node-crypto.d.ts" />
import { createHash } from "node:crypto";
import type { RoomIdentity } from "../../protocol/reliable/room/room-connections.ts";
import type { IdentifyRequest } from "../../protocol/session-request.ts";
import { splitToken } from "../../protocol/session-token.ts";
import { sameSecret } from "../session-store/secrets.ts";

/** Whose connection it is, as the session store told the worker before the room was reached. */
export interface RoomCredential {
  readonly sessid: number;
  /** SHA-256 of the token's secret, base64url: it proves nothing to anybody who has only this. */
  readonly secretHash: string;
  readonly user: string;
}

/** The grant that a session needs to enter a room. */
export function roomResource(room: string): string {
  return `room:${room}`;
}

/**
 * A seat belongs to a token: a sessid that was given away again has another secret, while a registration that keeps the
 * token (over TCP) keeps the seat, although the session's `created` starts anew.
 */
export function roomIdentity({ sessid, secretHash, user }: RoomCredential): RoomIdentity {
  return { session: `${sessid}.${secretHash}`, user, acceptsToken };

  function acceptsToken(token: Uint8Array): boolean {
    const shown = splitToken(token);
    // Synchronous: between a Join and its answer nothing else may happen in the room.
    const shownHash = createHash("sha256").update(shown.secret).digest("base64url");
    return shown.sessid === sessid && sameSecret(secretHash, shownHash);
  }
}

/** Asks whether the session of a seat may still be in the room: the question that its upgrade was let in by. */
export function identifySeat(session: string, room: string): IdentifyRequest {
  const [sessid = "", secretHash = ""] = session.split(".", 2);
  return { kind: "identify", sessid: Number(sessid), secretHash, resource: roomResource(room) };
}
