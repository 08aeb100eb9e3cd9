import type { SessionEvent } from "../session-store/session-log.ts";

/** A message to the receiver of webhooks. A retry is the same message. */
export interface WebhookMessage {
  /** A position in the log. */
  readonly id: string;
  /** Messages of one session are sent in the order of the log, one after the other. Null: it is about no session. */
  readonly sessid: number | null;
  /** When the event happened, epoch ms. */
  readonly at: number;
  readonly body: string;
}

/** The message about the end of a session. */
export function endMessage({ position, at, reason, sessid, user }: SessionEvent): WebhookMessage {
  return { id: position, sessid, at, body: bodyOf("session.ended", at, { position, at, reason, sessid, user }) };
}

/** The message that events before `position` are not in the log any more and were not sent. */
export function lossMessage(position: string, at: number): WebhookMessage {
  return { id: position, sessid: null, at, body: bodyOf("session.events_lost", at, { position }) };
}

/** The payload that Standard Webhooks 1.0.0 recommends ("Payload structure"). */
function bodyOf(type: string, at: number, data: object): string {
  return JSON.stringify({ type, timestamp: new Date(at).toISOString(), data });
}
