import { readFileSync } from "node:fs";
import type { ServiceResponsePacket } from "../../../protocol/service-packets.ts";
import { ipv4FromInt } from "../../../protocol/service-packets.ts";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { Status, type StatusName } from "../../../protocol/status-codes.ts";
import type { WatchNotice, WatchRequest, WatchResponse } from "../../../protocol/watch-packets.ts";
import { fromHex } from "./packet-bytes.ts";

/** One packet of test/vectors/service-packets.json. */
export interface ServiceVector {
  readonly packet: string;
  readonly type: number;
  readonly hex: string;
  readonly fields: {
    readonly sessid?: number;
    readonly ip?: number;
    readonly id?: string;
    readonly resource?: string;
    readonly status?: StatusName;
    readonly sessions?: number;
    readonly users?: number;
    readonly token?: string;
    readonly user?: string;
    readonly message?: string;
    readonly key?: string;
    readonly scope?: number;
    readonly after?: string;
    readonly reason?: number;
    readonly at?: number;
    readonly position?: string;
  };
}

/** A broken packet, and the response that the contract gives it. */
export interface BrokenVector {
  readonly why: string;
  readonly hex: string;
  readonly expect: string;
}

const vectors = JSON.parse(readFileSync(new URL("../../vectors/service-packets.json", import.meta.url), "utf8")) as {
  packets: ServiceVector[];
  broken: BrokenVector[];
};

/** The vectors of a watch have a test and a codec of their own (protocol/watch-packets.ts). */
const WATCH_PACKETS = ["WatchRequest", "WatchResponse", "SessionEnded"];
export const watchVectors = vectors.packets.filter(({ packet }) => WATCH_PACKETS.includes(packet));
export const brokenWatchVectors = vectors.broken.filter((vector) => vector.expect.startsWith("Watch"));
export const brokenServiceVectors = vectors.broken.filter((vector) => !vector.expect.startsWith("Watch"));
export const serviceKeyVectors = vectors.packets.filter((vector) => vector.packet === "ServiceKeyRequest");
export const serviceRequestVectors = vectors.packets.filter(
  (vector) => vector.packet.endsWith("Request") && ![...serviceKeyVectors, ...watchVectors].includes(vector),
);
export const serviceResponseVectors = vectors.packets.filter(
  (vector) => vector.packet.endsWith("Response") && !watchVectors.includes(vector),
);

/** The value that a request vector's bytes stand for. */
export function requestOfVector({ packet, fields }: ServiceVector): ServiceRequest {
  switch (packet) {
    case "SessionCheckRequest":
      return { kind: "check", sessid: given(fields.sessid, packet) };
    case "SessionRegisterRequest":
      return {
        kind: "register",
        sessid: given(fields.sessid, packet),
        ip: ipv4FromInt(fields.ip ?? 0),
        user: given(fields.id, packet),
      };
    case "SessionDeleteRequest":
      return { kind: "delete", sessid: given(fields.sessid, packet), user: given(fields.id, packet) };
    case "CountUsersRequest":
      return { kind: "count" };
    case "SessionIssueRequest":
      return { kind: "issue", ip: ipv4FromInt(fields.ip ?? 0), user: given(fields.id, packet) };
    case "SessionCheckAccessRequest":
      return {
        kind: "checkAccess",
        sessid: given(fields.sessid, packet),
        resource: given(fields.resource, packet),
      };
    case "SessionIdentifyRequest": {
      const token = fromHex(fields.token ?? "");
      return { kind: "identify", token, ...(fields.resource !== "" && { resource: given(fields.resource, packet) }) };
    }
    default:
      throw new Error(`no such request: ${packet}`);
  }
}

/** The value that a response vector's bytes stand for; what the packet does not carry is false or 0. */
export function responseOfVector({ packet, fields }: ServiceVector): ServiceResponsePacket {
  const status = Status[fields.status ?? "Invalid"];
  switch (packet) {
    case "SessionCheckResponse":
      return { kind: "check", status };
    case "SessionRegisterResponse":
      return { kind: "register", status };
    case "SessionDeleteResponse":
      return { kind: "delete", status };
    case "CountUsersResponse":
      return { kind: "count", status, sessions: fields.sessions ?? 0, users: fields.users ?? 0 };
    case "SessionIssueResponse":
      return { kind: "issue", status, sessid: fields.sessid ?? 0, token: fromHex(fields.token ?? "") };
    case "SessionCheckAccessResponse":
      return { kind: "checkAccess", status };
    case "SessionIdentifyResponse": {
      const { sessid = 0, user = "" } = fields;
      return { kind: "identify", status, session: status === Status.Ok ? { sessid, user } : null };
    }
    case "ServiceKeyResponse":
      return { kind: "serviceKey", status };
    case "ErrorResponse":
      return { kind: "error", status, message: fields.message ?? "" };
    default:
      throw new Error(`no such response: ${packet}`);
  }
}

/** The value that the bytes of a watch's vector stand for. */
export function watchOfVector({ packet, fields }: ServiceVector): WatchRequest | WatchResponse | WatchNotice {
  const position = fields.position || null;
  if (packet === "WatchRequest") {
    const scope = (["none", "known", "all"] as const)[fields.scope ?? 0] ?? "none";
    return { scope, after: fields.after || null };
  }
  if (packet === "WatchResponse") return { kind: "watch", status: Status[fields.status ?? "Invalid"], position };
  const { reason = 0, sessid = 0, at = 0 } = fields;
  const notice = { at, position: given(position ?? undefined, packet) };
  if (reason === 0) return { kind: "checkpoint", ...notice };
  if (reason === 4) return { kind: "reset", ...notice };
  const name = given((["deleted", "expired", "evicted"] as const)[reason - 1], packet);
  return { kind: "ended", reason: name, sessid, ...notice, user: fields.user || null };
}

function given<T>(field: T | undefined, packet: string): T {
  if (field === undefined) throw new Error(`a vector of a ${packet} lacks a field`);
  return field;
}
