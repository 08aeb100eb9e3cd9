import { ClosedCode } from "../../protocol/closed-codes.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { SessionStore } from "../session-store/session-store.ts";
import { identifySeat } from "./room-credential.ts";

/** A member who may not stay. */
export interface InvalidSeat {
  readonly member: number;
  readonly session: string;
  readonly code: ClosedCode;
  readonly message: string;
}

/**
 * Asks again for the sessions of a room's seats, which slides their lifetimes: to be in a room is to use the session.
 * A session that ended, or was given away, may not stay, nor one that lost its grant; while the store cannot be asked,
 * everybody may.
 */
export async function findInvalidSeats(
  store: SessionStore,
  room: string,
  seats: readonly { readonly member: number; readonly session: string }[],
): Promise<InvalidSeat[]> {
  const invalid: InvalidSeat[] = [];
  for (let from = 0; from < seats.length; from += MAX_BATCH_REQUESTS) {
    const batch = seats.slice(from, from + MAX_BATCH_REQUESTS);
    const answers = await store.run(batch.map(({ session }) => identifySeat(session, room)));
    for (const [index, { member, session }] of batch.entries()) {
      const status = answers[index]?.status;
      if (status === Status.NotFound) {
        invalid.push({ member, session, code: ClosedCode.SessionInvalid, message: "the session has ended" });
      } else if (status === Status.Denied) {
        invalid.push({ member, session, code: ClosedCode.Denied, message: "the session lacks the grant" });
      }
    }
  }
  return invalid;
}
