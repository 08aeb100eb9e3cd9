import fc from "fast-check";
import type { ServiceResponsePacket } from "../../../protocol/service-packets.ts";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { WatchNotice, WatchRequest, WatchResponse } from "../../../protocol/watch-packets.ts";

/** Text of `min`..`max` bytes of UTF-8 without U+0000. */
export function utf8Text(min: number, max: number): fc.Arbitrary<string> {
  return fc.string({ unit: "binary", minLength: min, maxLength: max }).filter((text) => {
    const length = Buffer.byteLength(text);
    return length >= min && length <= max && !text.includes("\0");
  });
}

/** `size` random bytes. */
export function bytesOf(size: number): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  return fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => Uint8Array.from(bytes));
}

const sessid = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).filter((value) => value !== 0);
const user = utf8Text(1, 128).filter((text) => !text.startsWith("web:"));
const ip = fc.option(
  fc.ipV4().filter((address) => address !== "0.0.0.0"),
  { nil: null },
);
const status = fc.constantFrom(...Object.values(Status));
const u32 = fc.nat({ max: 2 ** 32 - 1 });

/** Any request that has a packet. */
export const serviceRequests: fc.Arbitrary<ServiceRequest> = fc.oneof(
  fc.record({ kind: fc.constant("check" as const), sessid }),
  fc.record({ kind: fc.constant("register" as const), sessid, ip, user }),
  fc.record({ kind: fc.constant("delete" as const), sessid, user: utf8Text(1, 128) }),
  fc.record({ kind: fc.constant("count" as const) }),
  fc.record({ kind: fc.constant("issue" as const), ip, user }),
  fc.record({ kind: fc.constant("checkAccess" as const), sessid, resource: utf8Text(1, 512) }),
  fc.record(
    { kind: fc.constant("identify" as const), token: bytesOf(20), resource: utf8Text(1, 512) },
    { requiredKeys: ["kind", "token"] },
  ),
);

/** Any service key that has a packet. */
export const serviceKeys: fc.Arbitrary<string> = utf8Text(1, 255);

/** Any response that has a packet, with no value that the packet does not carry. */
export const serviceResponses: fc.Arbitrary<ServiceResponsePacket> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("check" as const, "register" as const, "delete" as const, "checkAccess" as const),
    status,
  }),
  fc.record({ kind: fc.constant("count" as const), status, sessions: u32, users: u32 }),
  fc.record({
    kind: fc.constant("issue" as const),
    status,
    sessid: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    token: bytesOf(20),
  }),
  fc.record({
    kind: fc.constant("identify" as const),
    status: fc.constant(Status.Ok),
    session: fc.record({ sessid, user: utf8Text(1, 128) }),
  }),
  fc.record({
    kind: fc.constant("identify" as const),
    status: status.filter((value) => value !== Status.Ok),
    session: fc.constant(null),
  }),
  fc.record({ kind: fc.constant("serviceKey" as const), status }),
  fc.record({ kind: fc.constant("error" as const), status, message: utf8Text(0, 900) }),
);

const position = utf8Text(1, 96);
const noPosition = fc.constant(null);
const at = fc.nat({ max: Number.MAX_SAFE_INTEGER });

/** Any request of a watch. */
export const watchRequests: fc.Arbitrary<WatchRequest> = fc.record({
  scope: fc.constantFrom("none" as const, "known" as const, "all" as const),
  after: fc.oneof(position, noPosition),
});

/** Any response to it. */
export const watchResponses: fc.Arbitrary<WatchResponse> = fc.record({
  kind: fc.constant("watch" as const),
  status,
  position: fc.oneof(position, noPosition),
});

/** Anything that a SessionEnded may say. */
export const watchNotices: fc.Arbitrary<WatchNotice> = fc.oneof(
  fc.record({
    kind: fc.constant("ended" as const),
    reason: fc.constantFrom("deleted" as const, "expired" as const, "evicted" as const),
    sessid,
    at,
    position,
    user: fc.oneof(utf8Text(1, 128), noPosition),
  }),
  fc.record({ kind: fc.constantFrom("checkpoint" as const, "reset" as const), at, position }),
);
