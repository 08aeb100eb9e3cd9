import type { SessionEvent } from "../session-store/session-log.ts";
import type { FeedMessage, Listening } from "./event-feed.ts";

/** Of every stream. */
export const STREAM_HEADERS = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store, no-transform",
  // nginx would collect the events and pass them on later.
  "X-Accel-Buffering": "no",
};

/**
 * The worker's request to the event hub, in which the hub finds how its caller listens. It is a request of its own: nothing that the
 * client has sent reaches the hub, so no header of it can say on whose behalf it listens.
 */
export function encodeListening({ after, kinds, sessid }: Listening): string {
  const listening = JSON.stringify([after, kinds && [...kinds], sessid]);
  return `https://hub.invalid/?${encodeURIComponent(listening)}`;
}

/** The inverse of {@link encodeListening}. */
export function decodeListening(url: string): Listening {
  const [after, kinds, sessid] = JSON.parse(decodeURIComponent(new URL(url).search.slice(1)));
  return { after, kinds: kinds && new Set(kinds), sessid };
}

/** How long a client waits before it connects again, ms: a random time, so that they do not return all at once. */
const RETRY_MS = 1000;

const utf8 = new TextEncoder();
const encoded = new WeakMap<readonly SessionEvent[], Uint8Array>();

/**
 * A message as server-sent events (HTML standard, §9.2.6). A checkpoint is a comment, and an id without data: a client takes the id as
 * its last one, and dispatches nothing.
 */
export function encodeMessage(message: FeedMessage): Uint8Array {
  if (message.kind !== "events") {
    const { kind, position } = message;
    return utf8.encode(kind === "reset" ? block("reset", position, { position }) : `: ${kind}\nid: ${position}\n\n`);
  }
  // Many listeners are sent the same.
  const found = encoded.get(message.events);
  if (found !== undefined) return found;
  const bytes = utf8.encode(message.events.map((event) => block(event.kind, event.position, event)).join(""));
  encoded.set(message.events, bytes);
  return bytes;
}

/** The first line of a stream. */
export function encodeRetry(): Uint8Array {
  return utf8.encode(`retry: ${Math.round(RETRY_MS * (1 + Math.random()))}\n`);
}

/** JSON has no line ends, and a position none of its own. */
function block(event: string, id: string, data: unknown): string {
  return `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}
