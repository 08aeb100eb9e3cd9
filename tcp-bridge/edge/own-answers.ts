import { ByteWriter } from "../../protocol/packet-fields.ts";
import { packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import {
  ERROR_RESPONSE_TYPE,
  serviceRequestKind,
  unknownTypeResponse,
  writeServiceResponse,
} from "../../protocol/service-packets.ts";
import type { ServiceRequest, ServiceResponse } from "../../protocol/session-request.ts";
import { failedResponse } from "../../protocol/session-request.ts";
import type { Status } from "../../protocol/status-codes.ts";

/** The answers that the bridge gives itself: each request packet gets its own response with `status`, other fields 0. */
export function ownAnswers(requests: Uint8Array, packets: number, status: Status): Uint8Array {
  // 5 is the size of the commonest answer, that of a check; larger ones make the writer grow.
  const writer = new ByteWriter(packets * 5);
  for (let at = 0; at < requests.byteLength; at += packetSizeAt(requests, at)) {
    writeOwnAnswer(writer, packetType(requests, at), status);
  }
  return writer.finish();
}

/** The size in bytes of the response to a request type: all have fixed sizes. undefined for an unknown type. */
export function answerBytes(type: number): number | undefined {
  return ANSWER_BYTES[type];
}

/** An ErrorResponse: why the connection is refused or closed. */
export function errorAnswer(status: Status, message: string): Uint8Array {
  const writer = new ByteWriter();
  writeServiceResponse(writer, { kind: "error", status, message });
  return writer.finish();
}

/** The response to a service key. */
export function serviceKeyAnswer(status: Status): Uint8Array {
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
