import { ByteReader, type ByteWriter } from "./packet-fields.ts";
import { HEADER_BYTES, ProtocolError, packetType } from "./packet-framing.ts";
import {
  decodeServiceResponse,
  MAX_USER_BYTES,
  readSessid,
  readStatus,
  type ServiceResponsePacket,
  WATCH_REQUEST_TYPE,
} from "./service-packets.ts";
import type { Status } from "./status-codes.ts";

/** The response to a WatchRequest. */
export const WATCH_RESPONSE_TYPE = WATCH_REQUEST_TYPE + 1;

/** The packet that a bridge sends without a request. */
export const SESSION_ENDED_TYPE = 17;

/** The longest position in a log, in bytes of UTF-8. It is opaque text. */
export const MAX_POSITION_BYTES = 96;

/** Which ends a connection is told of, a u8 on the wire. */
export const WATCH_SCOPES = {
  /** None: the watch ends. */
  none: 0,
  /** Those of the sessions that this connection registered, issued or found Ok. */
  known: 1,
  /** Those of all sessions. */
  all: 2,
} as const;

export type WatchScope = keyof typeof WATCH_SCOPES;

/** Why a session ended, a u8 on the wire. `evicted`: a newer session of its user took its place (SESSION_LIMIT_POLICY). */
export const END_REASONS = { deleted: 1, expired: 2, evicted: 3 } as const;

export type EndReason = keyof typeof END_REASONS;

/** The reasons of a SessionEnded that tells of no session. */
const NOTICE_REASONS = { checkpoint: 0, reset: 4 } as const;

/** Asks to be told of ends. It replaces the watch that the connection has. */
export interface WatchRequest {
  readonly scope: WatchScope;
  /** The position to catch up from; null: from now on. */
  readonly after: string | null;
}

/** The response to a {@link WatchRequest}. Ok: the connection is watching. NotFound: `after` is not in the log, and nothing is watched. */
export interface WatchResponse {
  readonly kind: "watch";
  readonly status: Status;
  /** If Ok, where the watch stands; if NotFound, the end of the log. Null otherwise, and without a watch. */
  readonly position: string | null;
}

/** What a SessionEnded packet says. `position`: where its receiver stands now. */
export type WatchNotice =
  | {
      readonly kind: "ended";
      readonly reason: EndReason;
      readonly sessid: number;
      /** When it ended, epoch ms by the store's clock. */
      readonly at: number;
      readonly position: string;
      /** Null for an anonymous session. */
      readonly user: string | null;
    }
  /** Nothing of the scope happened up to the position. */
  | { readonly kind: "checkpoint"; readonly at: number; readonly position: string }
  /** Ends between the last position and this one are lost. */
  | { readonly kind: "reset"; readonly at: number; readonly position: string };

const SCOPE_OF = new Map<number, WatchScope>(
  Object.entries(WATCH_SCOPES).map(([scope, value]) => [value, scope as WatchScope]),
);
const REASON_OF = new Map<number, EndReason | "checkpoint" | "reset">(
  Object.entries({ ...END_REASONS, ...NOTICE_REASONS }).map(([name, value]) => [value, name as EndReason]),
);

/** Appends the packet of a request. */
export function writeWatchRequest(writer: ByteWriter, { scope, after }: WatchRequest): void {
  writer.packet(WATCH_REQUEST_TYPE, () => writer.u8(WATCH_SCOPES[scope]).string(after ?? ""));
}

/**
 * Decodes the packet of a request.
 *
 * @throws ProtocolError the packet has another type or is malformed
 */
export function decodeWatchRequest(packet: Uint8Array): WatchRequest {
  const type = packetType(packet);
  if (type !== WATCH_REQUEST_TYPE) throw new ProtocolError("unexpected_packet", `type ${type} is no watch request`);
  const reader = new ByteReader(packet, HEADER_BYTES);
  const scope = reader.u8("scope");
  const name = SCOPE_OF.get(scope);
  if (name === undefined) throw new ProtocolError("out_of_range", `scope: ${scope}, allowed is 0..2`);
  const after = readPosition(reader, "after", 0);
  reader.end();
  return { scope: name, after: after === "" ? null : after };
}

/** Appends the packet of a response. */
export function writeWatchResponse(writer: ByteWriter, status: Status, position: string | null): void {
  writer.packet(WATCH_RESPONSE_TYPE, () => writer.u8(status).string(position ?? ""));
}

/** Appends a SessionEnded. */
export function writeWatchNotice(writer: ByteWriter, notice: WatchNotice): void {
  const { at, position } = notice;
  writer.packet(SESSION_ENDED_TYPE, () => {
    if (notice.kind === "ended") {
      const { reason, sessid, user } = notice;
      writer
        .u8(END_REASONS[reason])
        .i32(sessid)
        .u64(at)
        .string(position)
        .string(user ?? "");
    } else {
      writer.u8(NOTICE_REASONS[notice.kind]).i32(0).u64(at).string(position).string("");
    }
  });
}

/**
 * Decodes one whole packet of a bridge: a response, or a notice that is none.
 *
 * @throws ProtocolError the type is unknown, or a field is missing or out of range
 */
export function decodeBridgePacket(packet: Uint8Array): ServiceResponsePacket | WatchResponse | WatchNotice {
  const type = packetType(packet);
  if (type !== WATCH_RESPONSE_TYPE && type !== SESSION_ENDED_TYPE) return decodeServiceResponse(packet);
  const reader = new ByteReader(packet, HEADER_BYTES);
  const decoded = type === WATCH_RESPONSE_TYPE ? readWatchResponse(reader) : readNotice(reader);
  reader.end();
  return decoded;
}

function readWatchResponse(reader: ByteReader): WatchResponse {
  const status = readStatus(reader);
  const position = readPosition(reader, "position", 0);
  return { kind: "watch", status, position: position === "" ? null : position };
}

function readNotice(reader: ByteReader): WatchNotice {
  const value = reader.u8("reason");
  const reason = REASON_OF.get(value);
  if (reason === undefined) throw new ProtocolError("out_of_range", `reason: ${value}, allowed is 0..4`);
  if (reason === "checkpoint" || reason === "reset") {
    if (reader.i32("sessid") !== 0) throw new ProtocolError("out_of_range", `sessid: a ${reason} is about no session`);
    const at = reader.u64("at");
    const position = readPosition(reader, "position", 1);
    reader.string("user", 0, 0);
    return { kind: reason, at, position };
  }
  const sessid = readSessid(reader);
  const at = reader.u64("at");
  const position = readPosition(reader, "position", 1);
  const user = reader.string("user", 0, MAX_USER_BYTES);
  return { kind: "ended", reason, sessid, at, position, user: user === "" ? null : user };
}

function readPosition(reader: ByteReader, field: string, min: 0 | 1): string {
  return reader.string(field, min, MAX_POSITION_BYTES);
}
