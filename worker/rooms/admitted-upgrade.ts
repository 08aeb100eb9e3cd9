import type { RoomCredential } from "./room-credential.ts";

/** An upgrade that the worker let in: which room, and who. */
export interface AdmittedUpgrade {
  readonly room: string;
  readonly credential: RoomCredential;
}

/** JSON, percent-encoded because a header is Latin-1. Only the worker can reach a room, so nobody else can set it. */
const ADMITTED_HEADER = "Artoria-Admitted";

/** The request that hands an upgrade to its room: nothing of what the client sent goes further. */
export function admittedRequest(admitted: AdmittedUpgrade): Request {
  const headers = { Upgrade: "websocket", [ADMITTED_HEADER]: encodeURIComponent(JSON.stringify(admitted)) };
  return new Request("https://room/", { headers });
}

/** What {@link admittedRequest} was made of. */
export function readAdmitted(request: Request): AdmittedUpgrade {
  return JSON.parse(decodeURIComponent(request.headers.get(ADMITTED_HEADER) ?? "")) as AdmittedUpgrade;
}
