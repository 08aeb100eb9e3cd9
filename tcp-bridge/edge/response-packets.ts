import { ByteWriter } from "../../protocol/packet-fields.ts";
import { HEADER_BYTES, MAX_SERVICE_PACKET_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import {
  ERROR_RESPONSE_TYPE,
  type ServiceResponsePacket,
  serviceRequestKind,
  unknownTypeResponse,
  writeServiceResponse,
} from "../../protocol/service-packets.ts";
import { failedResponse, type ServiceRequest, type ServiceResponse } from "../../protocol/session-request.ts";
import { type Status, statusOf } from "../../protocol/status-codes.ts";
import type { Segment } from "./batch.ts";

/**
 * Splits the edge's `responses` into those of each segment, or says what is wrong with them. Each packet's framing, type, size and
 * status must fit its request. Otherwise no response of the batch reaches a connection: it could be the response to another request.
 */
export function splitResponses(
  requests: Uint8Array,
  segments: Iterable<Segment>,
  responses: Uint8Array,
): Uint8Array[] | string {
  const parts: Uint8Array[] = [];
  let requestAt = 0;
  let at = 0;
  for (const segment of segments) {
    const start = at;
    for (let packet = 0; packet < segment.packets; packet++) {
      if (responses.byteLength - at <= HEADER_BYTES) return "too few responses";
      const size = packetSizeAt(responses, at);
      if (size > responses.byteLength - at || !respondsTo(packetType(requests, requestAt), responses, at, size)) {
        return `the response at byte ${at} does not fit its request`;
      }
      requestAt += packetSizeAt(requests, requestAt);
      at += size;
    }
    parts.push(responses.subarray(start, at));
  }
  return at === responses.byteLength ? parts : `${responses.byteLength - at} bytes after the last response`;
}

function respondsTo(requestType: number, responses: Uint8Array, at: number, size: number): boolean {
  const type = packetType(responses, at);
  if (statusOf(responses[at + HEADER_BYTES] ?? 255) === undefined) return false;
  const expectedBytes = RESPONSE_BYTES[requestType];
  if (expectedBytes !== undefined) return type === requestType + 1 && size === expectedBytes;
  // An ErrorResponse: its status, and a message whose length must match.
  const messageBytes = (responses[at + 5] ?? 0) | ((responses[at + 6] ?? 0) << 8);
  return type === ERROR_RESPONSE_TYPE && size === HEADER_BYTES + 3 + messageBytes && size <= MAX_SERVICE_PACKET_BYTES;
}

/** Responses that the bridge itself gives: to each request packet its own response with `status`, all other fields 0. */
export function bridgeResponses(requests: Uint8Array, packets: number, status: Status): Uint8Array {
  // 5 bytes are the response to a check, the most frequent one. For larger ones the writer grows.
  const writer = new ByteWriter(packets * 5);
  for (let at = 0; at < requests.byteLength; at += packetSizeAt(requests, at)) {
    const type = packetType(requests, at);
    const kind = serviceRequestKind(type);
    writeServiceResponse(writer, kind === undefined ? unknownTypeResponse(type, status) : failure(kind, status));
  }
  return writer.finish();
}

/** An ErrorResponse that says why the connection is refused or closed. */
export function errorResponse(status: Status, message: string): Uint8Array {
  return responsePacket({ kind: "error", status, message });
}

/** The response to a service key. */
export function serviceKeyResponse(status: Status): Uint8Array {
  return responsePacket({ kind: "serviceKey", status });
}

function responsePacket(response: ServiceResponsePacket): Uint8Array {
  const writer = new ByteWriter();
  writeServiceResponse(writer, response);
  return writer.finish();
}

function failure(kind: ServiceRequest["kind"], status: Status): ServiceResponse {
  // The response has the kind of the request, which the type of failedResponse does not say.
  return failedResponse(kind, status) as ServiceResponse;
}

/** The size of the response to each request type: all have fixed sizes. undefined for an unknown type. */
const RESPONSE_BYTES: (number | undefined)[] = Array.from({ length: ERROR_RESPONSE_TYPE }, (_, type) => {
  const kind = serviceRequestKind(type);
  return kind === undefined ? undefined : responsePacket(failure(kind, 0)).byteLength;
});
