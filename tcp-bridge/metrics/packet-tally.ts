import { HEADER_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { ERROR_RESPONSE_TYPE, SERVICE_KEY_RESPONSE_TYPE, serviceRequestKind } from "../../protocol/service-packets.ts";
import { Status, statusName } from "../../protocol/status-codes.ts";

const STATUSES = Object.values(Status);

/** Counts answered packets by type and status: an array cell for each, because it runs once for every packet. */
export class PacketTally {
  readonly #counts = new Float64Array((ERROR_RESPONSE_TYPE + 1) * STATUSES.length);

  /** Counts whole answer packets that are known to be well-formed. */
  add(answers: Uint8Array): void {
    for (let at = 0; at < answers.byteLength; at += packetSizeAt(answers, at)) {
      const cell = packetType(answers, at) * STATUSES.length + (answers[at + HEADER_BYTES] ?? 0);
      this.#counts[cell] = (this.#counts[cell] ?? 0) + 1;
    }
  }

  /** Every count that is not 0, with the request's kind ("unknown" for an ErrorResponse) and the status's name. */
  *entries(): Iterable<{ readonly type: string; readonly status: string; readonly count: number }> {
    for (let type = 0; type <= ERROR_RESPONSE_TYPE; type++) {
      for (const status of STATUSES) {
        const count = this.#counts[type * STATUSES.length + status] ?? 0;
        if (count > 0) yield { type: kindOf(type), status: statusName(status), count };
      }
    }
  }
}

function kindOf(answerType: number): string {
  if (answerType === SERVICE_KEY_RESPONSE_TYPE) return "serviceKey";
  return serviceRequestKind(answerType - 1) ?? "unknown";
}
