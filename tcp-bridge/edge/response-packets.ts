import { ByteWriter } from "../../protocol/packet-fields.ts";
import { HEADER_BYTES, MAX_SERVICE_PACKET_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import {
  ERROR_RESPONSE_TYPE,
  serviceRequestKind,
  unknownTypeResponse,
  writeServiceResponse,
} from "../../protocol/service-packets.ts";
import { failedResponse, type ServiceRequest, type ServiceResponse } from "../../protocol/session-request.ts";
import { type Status, statusOf } from "../../protocol/status-codes.ts";
import type { Segment } from "./batch.ts";

/** The answers that the bridge gives itself: each request packet gets its own response with `status`, other fields 0. */
export function bridgeResponses(requests: Uint8Array, packets: number, status: Status): Uint8Array {
  // 5 is the size of the commonest answer, that of a check; larger ones make the writer grow.
  const writer = new ByteWriter(packets * 5);
  for (let at = 0; at < requests.byteLength; at += packetSizeAt(requests, at)) {
    writeOwnAnswer(writer, packetType(requests, at), status);
  }
  return writer.finish();
}

/** The size in bytes of the response to a request type: all have fixed sizes. undefined for an unknown type. */
export function responseBytes(type: number): number | undefined {
  return ANSWER_BYTES[type];
}

/** An ErrorResponse: why the connection is refused or closed. */
export function errorResponse(status: Status, message: string): Uint8Array {
  const writer = new ByteWriter();
  writeServiceResponse(writer, { kind: "error", status, message });
  return writer.finish();
}

/** The response to a service key. */
export function serviceKeyResponse(status: Status): Uint8Array {
  const writer = new ByteWriter();
  writeServiceResponse(writer, { kind: "serviceKey", status });
  return writer.finish();
}

function writeOwnAnswer(writer: ByteWriter, type: number, status: Status): void {
  const kind = serviceRequestKind(type);
  writeServiceResponse(writer, kind === undefined ? unknownTypeResponse(type, status) : serviceFailure(kind, status));
}

function serviceFailure(kind: ServiceRequest["kind"], status: Status): ServiceResponse {
  // failedResponse answers with the kind that it is given, which its wider type cannot say.
  return failedResponse(kind, status) as ServiceResponse;
}

const ANSWER_BYTES: (number | undefined)[] = Array.from({ length: ERROR_RESPONSE_TYPE }, (_, type) => {
  const kind = serviceRequestKind(type);
  if (kind === undefined) return undefined;
  const writer = new ByteWriter();
  writeServiceResponse(writer, serviceFailure(kind, 0));
  return writer.length;
});

/**
 * Checks that `answers` answers `requests` packet by packet (framing, response type, size, status, number) and returns
 * the bytes of each segment, or says what is wrong. Nothing of a wrong answer may reach a connection: the verdicts
 * would be those of other requests.
 */
export function splitResponses(
  requests: Uint8Array,
  segments: Iterable<Segment>,
  answers: Uint8Array,
): Uint8Array[] | string {
  const parts: Uint8Array[] = [];
  let requestAt = 0;
  let at = 0;
  for (const segment of segments) {
    const start = at;
    for (let packet = 0; packet < segment.packets; packet++) {
      if (answers.byteLength - at <= HEADER_BYTES) return "too few answers";
      const size = packetSizeAt(answers, at);
      if (size > answers.byteLength - at || !answersType(packetType(requests, requestAt), answers, at, size)) {
        return `answer at byte ${at} does not answer its request`;
      }
      requestAt += packetSizeAt(requests, requestAt);
      at += size;
    }
    parts.push(answers.subarray(start, at));
  }
  return at === answers.byteLength ? parts : `${answers.byteLength - at} bytes after the last answer`;
}

function answersType(requestType: number, answers: Uint8Array, at: number, size: number): boolean {
  const type = packetType(answers, at);
  if (statusOf(answers[at + HEADER_BYTES] ?? 255) === undefined) return false;
  const expectedBytes = responseBytes(requestType);
  if (expectedBytes !== undefined) return type === requestType + 1 && size === expectedBytes;
  // An ErrorResponse: its status, and a message whose length must match.
  const messageBytes = (answers[at + 5] ?? 0) | ((answers[at + 6] ?? 0) << 8);
  return type === ERROR_RESPONSE_TYPE && size === HEADER_BYTES + 3 + messageBytes && size <= MAX_SERVICE_PACKET_BYTES;
}
