import { HEADER_BYTES, MAX_SERVICE_PACKET_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { ERROR_RESPONSE_TYPE } from "../../protocol/service-packets.ts";
import { statusOf } from "../../protocol/status-codes.ts";
import type { Segment } from "./batch.ts";
import { answerBytes } from "./own-answers.ts";

/**
 * Checks that `answers` answers `requests` packet by packet (framing, response type, size, status, number) and returns
 * the bytes of each segment, or says what is wrong. Nothing of a wrong answer may reach a connection: the verdicts
 * would be those of other requests.
 */
export function splitAnswers(
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
  const expectedBytes = answerBytes(requestType);
  if (expectedBytes !== undefined) return type === requestType + 1 && size === expectedBytes;
  // An ErrorResponse: its status, and a message whose length must match.
  const messageBytes = (answers[at + 5] ?? 0) | ((answers[at + 6] ?? 0) << 8);
  return type === ERROR_RESPONSE_TYPE && size === HEADER_BYTES + 3 + messageBytes && size <= MAX_SERVICE_PACKET_BYTES;
}
