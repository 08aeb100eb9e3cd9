import { ByteReader, type ByteWriter } from "./packet-fields.ts";
import { HEADER_BYTES, ProtocolError, packetType } from "./packet-framing.ts";
import type { ServiceRequest, ServiceResponse } from "./session-request.ts";
import { TOKEN_BYTES } from "./session-token.ts";
import { Status, statusOf } from "./status-codes.ts";

/** The longest user (`id` on the wire), in bytes of UTF-8; the shortest has 1. */
export const MAX_USER_BYTES = 128;

/** The longest `resource`, in bytes of UTF-8; the shortest has 1, in a SessionIdentifyRequest 0. */
export const MAX_RESOURCE_BYTES = 512;

/** The prefix of the users of browser accounts. A register or an issue for such a user is Invalid (docs/wire-protocol.md, "Service packets"). */
export const WEB_USER_PREFIX = "web:";

/** The most bytes in one `POST /v1/packets` (docs/http-api.md, "Service routes"); the most packets are MAX_BATCH_REQUESTS. */
export const MAX_BATCH_BYTES = 512 * 1024;

/** The packet type of each request. The type of its response is the next number. */
export const REQUEST_TYPES = {
  check: 1,
  register: 3,
  delete: 5,
  count: 7,
  issue: 9,
  checkAccess: 11,
  identify: 13,
} as const;

/** The request of a watch, which only a bridge answers (protocol/watch-packets.ts). */
export const WATCH_REQUEST_TYPE = 15;

/** The first packet at a port that requires a service key, and its response (docs/wire-protocol.md, "The service key"). */
export const SERVICE_KEY_REQUEST_TYPE = 18;
export const SERVICE_KEY_RESPONSE_TYPE = SERVICE_KEY_REQUEST_TYPE + 1;

/** The longest service key in bytes. On the wire the shortest has 1, but a port has no key under 32. */
export const MAX_SERVICE_KEY_BYTES = 255;

/** The type of ErrorResponse: the response to an unknown type, a broken stream or a refused connection. */
export const ERROR_RESPONSE_TYPE = 127;

/** What a packet of a client holds: a request, or why it is none. */
export type DecodedServiceRequest =
  | ServiceRequest
  | { readonly kind: "invalid"; readonly request: ServiceRequest["kind"]; readonly error: ProtocolError }
  | { readonly kind: "unknown"; readonly type: number };

/** What a packet of a server holds. */
export type ServiceResponsePacket = ServiceResponse | ServiceKeyResponse | ErrorResponse;

/** `status`: Ok, Denied, Invalid or TooMany. */
export interface ServiceKeyResponse {
  readonly kind: "serviceKey";
  readonly status: Status;
}

/** Why a packet or a connection was refused; `message` is for people. */
export interface ErrorResponse {
  readonly kind: "error";
  readonly status: Status;
  readonly message: string;
}

const KIND_OF_TYPE = new Map<number, ServiceRequest["kind"]>(
  Object.entries(REQUEST_TYPES).map(([kind, type]) => [type, kind as ServiceRequest["kind"]]),
);

/** The kind of request that packets of this type hold, undefined for an unknown type. */
export function serviceRequestKind(type: number): ServiceRequest["kind"] | undefined {
  return KIND_OF_TYPE.get(type);
}

/** The sessid of the packet at `at`, whose payload begins with a sessid or with a token, which begins with its own. */
export function sessidAt(bytes: Uint8Array, at: number): number {
  const from = at + HEADER_BYTES;
  return (
    (bytes[from] ?? 0) | ((bytes[from + 1] ?? 0) << 8) | ((bytes[from + 2] ?? 0) << 16) | ((bytes[from + 3] ?? 0) << 24)
  );
}

/** Decodes one whole packet of a client. A malformed packet is a value too: this function does not throw. */
export function decodeServiceRequest(packet: Uint8Array): DecodedServiceRequest {
  const type = packetType(packet);
  const kind = serviceRequestKind(type);
  if (kind === undefined) return { kind: "unknown", type };
  try {
    const reader = new ByteReader(packet, HEADER_BYTES);
    const request = readRequest(kind, reader);
    reader.end();
    return request;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { kind: "invalid", request: kind, error };
  }
}

/** The response to a packet of an unknown type, or of one that is not for who got it. */
export function unknownTypeResponse(type: number, status: Status): ErrorResponse {
  const what = type === WATCH_REQUEST_TYPE ? "only a bridge has watches:" : "unknown";
  return { kind: "error", status, message: `${what} packet type ${type}` };
}

/** Appends a request as a packet. */
export function writeServiceRequest(writer: ByteWriter, request: ServiceRequest): void {
  writer.packet(REQUEST_TYPES[request.kind], () => {
    switch (request.kind) {
      case "check":
        writer.i32(request.sessid);
        break;
      case "register":
        writer.i32(request.sessid).i32(ipv4ToInt(request.ip)).string(request.user);
        break;
      case "delete":
        // The `ip` of the caller. The server does not compare it.
        writer.i32(request.sessid).i32(0).string(request.user);
        break;
      case "count":
        break;
      case "issue":
        writer.i32(ipv4ToInt(request.ip)).string(request.user);
        break;
      case "checkAccess":
        writer.i32(request.sessid).string(request.resource);
        break;
      case "identify":
        writer.bytes(request.token).string(request.resource ?? "");
        break;
    }
  });
}

/** Appends a service key as a packet. */
export function writeServiceKey(writer: ByteWriter, key: string): void {
  writer.packet(SERVICE_KEY_REQUEST_TYPE, () => writer.string(key));
}

/**
 * Decodes the packet of a service key, without checking whether the key is valid.
 *
 * @throws ProtocolError the packet has another type or is malformed
 */
export function decodeServiceKey(packet: Uint8Array): string {
  const type = packetType(packet);
  if (type !== SERVICE_KEY_REQUEST_TYPE)
    throw new ProtocolError("unexpected_packet", `type ${type} before a service key`);
  const reader = new ByteReader(packet, HEADER_BYTES);
  const key = reader.string("key", 1, MAX_SERVICE_KEY_BYTES);
  reader.end();
  return key;
}

/** Appends a response as a packet. */
export function writeServiceResponse(writer: ByteWriter, response: ServiceResponsePacket): void {
  if (response.kind === "error") {
    writer.packet(ERROR_RESPONSE_TYPE, () => writer.u8(response.status).string(response.message));
    return;
  }
  if (response.kind === "serviceKey") {
    writer.packet(SERVICE_KEY_RESPONSE_TYPE, () => writer.u8(response.status));
    return;
  }
  writer.packet(REQUEST_TYPES[response.kind] + 1, () => {
    writer.u8(response.status);
    if (response.kind === "count") writer.u32(response.sessions).u32(response.users);
    if (response.kind === "issue") writer.i32(response.sessid).bytes(response.token);
    if (response.kind === "identify") writer.i32(response.session?.sessid ?? 0).string(response.session?.user ?? "");
  });
}

/**
 * Decodes one whole packet of a server.
 *
 * @throws ProtocolError the type is unknown, or a field is missing or out of range
 */
export function decodeServiceResponse(packet: Uint8Array): ServiceResponsePacket {
  const type = packetType(packet);
  const reader = new ByteReader(packet, HEADER_BYTES);
  const response = readResponse(type, reader);
  reader.end();
  return response;
}

function readRequest(kind: ServiceRequest["kind"], reader: ByteReader): ServiceRequest {
  switch (kind) {
    case "check":
      return { kind, sessid: readSessid(reader) };
    case "register": {
      const sessid = readSessid(reader);
      const ip = ipv4FromInt(reader.i32("ip"));
      return { kind, sessid, ip, user: readNewUser(reader) };
    }
    case "delete": {
      const sessid = readSessid(reader);
      reader.i32("ip");
      return { kind, sessid, user: readUser(reader) };
    }
    case "count":
      return { kind };
    case "issue": {
      const ip = ipv4FromInt(reader.i32("ip"));
      return { kind, ip, user: readNewUser(reader) };
    }
    case "checkAccess": {
      const sessid = readSessid(reader);
      return { kind, sessid, resource: reader.string("resource", 1, MAX_RESOURCE_BYTES) };
    }
    case "identify": {
      const token = reader.bytes(TOKEN_BYTES, "token");
      const resource = reader.string("resource", 0, MAX_RESOURCE_BYTES);
      return { kind, token, ...(resource !== "" && { resource }) };
    }
  }
}

function readResponse(type: number, reader: ByteReader): ServiceResponsePacket {
  if (type === ERROR_RESPONSE_TYPE) {
    return { kind: "error", status: readStatus(reader), message: reader.string("message", 0, 0xffff) };
  }
  if (type === SERVICE_KEY_RESPONSE_TYPE) return { kind: "serviceKey", status: readStatus(reader) };
  const kind = serviceRequestKind(type - 1);
  if (kind === undefined) throw new ProtocolError("unknown_type", `unknown packet type ${type}`);
  const status = readStatus(reader);
  switch (kind) {
    case "check":
    case "register":
    case "delete":
    case "checkAccess":
      return { kind, status };
    case "count":
      return { kind, status, sessions: reader.u32("sessions"), users: reader.u32("users") };
    case "issue":
      return { kind, status, sessid: reader.i32("sessid"), token: reader.bytes(TOKEN_BYTES, "token") };
    case "identify": {
      if (status === Status.Ok)
        return { kind, status, session: { sessid: readSessid(reader), user: readUser(reader, "user") } };
      reader.i32("sessid");
      reader.string("user", 0, MAX_USER_BYTES);
      return { kind, status, session: null };
    }
  }
}

/** @throws ProtocolError it is 0 */
export function readSessid(reader: ByteReader): number {
  const sessid = reader.i32("sessid");
  if (sessid === 0) throw new ProtocolError("out_of_range", "sessid: 0 is never a session");
  return sessid;
}

function readUser(reader: ByteReader, field = "id"): string {
  return reader.string(field, 1, MAX_USER_BYTES);
}

function readNewUser(reader: ByteReader): string {
  const user = readUser(reader);
  if (user.startsWith(WEB_USER_PREFIX)) {
    throw new ProtocolError("out_of_range", `id: "${WEB_USER_PREFIX}" is kept for browser accounts`);
  }
  return user;
}

/** @throws ProtocolError this version does not know it */
export function readStatus(reader: ByteReader): Status {
  const value = reader.i8("status");
  const status = statusOf(value);
  if (status === undefined) throw new ProtocolError("out_of_range", `status: ${value}, allowed is 0..6`);
  return status;
}

/**
 * The dotted form of a wire `ip`, an i32 whose most significant byte is the first octet. null for 0, which means unknown
 * (docs/wire-protocol.md, "Service packets").
 */
export function ipv4FromInt(value: number): string | null {
  if (value === 0) return null;
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** Anchored: an IPv4-mapped IPv6 address ends in four octets too. */
const DOTTED = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** The wire form of a dotted IPv4 address. null and IPv6, which the packets cannot carry, become 0: unknown. */
export function ipv4ToInt(address: string | null): number {
  const octets =
    DOTTED.exec(address ?? "")
      ?.slice(1)
      .map(Number) ?? [];
  if (octets.length !== 4 || octets.some((octet) => octet > 255)) return 0;
  return octets.reduce((value, octet) => (value << 8) | octet, 0);
}
