import { createParser } from "eventsource-parser";
import { type Dispatcher, Pool } from "undici";
import * as v from "valibot";
import { END_REASONS, type EndReason, MAX_POSITION_BYTES } from "../../protocol/watch-packets.ts";
import type { SessionEnd } from "./recent-ends.ts";

/** What the stream tells, in the order of the log. */
export interface EventStreamHandler {
  /** Everything up to `position` was told. The first word of every stream. */
  checkpoint(position: string): void;
  ended(end: SessionEnd): void;
  /** Ends before `position` are lost. */
  reset(position: string): void;
  /** All events of one chunk were told. */
  told(): void;
}

/** A page of ends from a position on. */
export type EndsPage =
  /** `next`: where its reader stands. `more`: there may be more to read now. */
  | { readonly kind: "ends"; readonly ends: readonly SessionEnd[]; readonly next: string; readonly more: boolean }
  /** The position is not in the log any more. `next`: the end of the log. */
  | { readonly kind: "gone"; readonly next: string }
  /** No log has given out such a position. */
  | { readonly kind: "invalid" }
  | { readonly kind: "failed"; readonly detail: string };

/** Why a stream ended. */
export interface StreamEnd {
  readonly code: "events_unreachable" | "events_refused" | "events_lost" | "events_malformed";
  /** For the log: no key, no session. */
  readonly detail: string;
  /** Whether only an operator can change it. */
  readonly isLasting: boolean;
}

/** Where the events are. */
export interface EdgeEventsOptions {
  /** The edge. Only its origin and path are used. */
  readonly edgeUrl: URL;
  readonly apiKey: string;
  /** How long the headers of a response may take, and a page. */
  readonly deadlineMs: number;
  /** Pages that are asked for at once. */
  readonly maxPagesAtOnce: number;
}

/** The ends in a page. Watches that catch up hold one page each, at most. */
const PAGE_ENDS = 500;

/** An end in JSON: a user of 128 bytes, escaped, and all else, with room for members that a later edge may add. */
const MAX_END_BYTES = 2_048;
const MAX_PAGE_BYTES = PAGE_ENDS * MAX_END_BYTES;

/** The edge sends a comment every 15 s: two of them may be late. */
const SILENCE_MS = 45_000;

/** Unauthorized, Not Found (an edge that knows no events), Not Acceptable. */
const LASTING_REFUSALS: readonly number[] = [401, 404, 406];

const BAD_REQUEST = 400;
const GONE = 410;

const Position = v.pipe(v.string(), v.minBytes(1), v.maxBytes(MAX_POSITION_BYTES));
const Ended = v.object({
  position: Position,
  at: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  kind: v.literal("ended"),
  reason: v.picklist(Object.keys(END_REASONS) as EndReason[]),
  sessid: v.pipe(v.number(), v.integer(), v.minValue(-(2 ** 31)), v.maxValue(2 ** 31 - 1)),
  user: v.nullable(v.string()),
});
const Page = v.object({ events: v.array(Ended), next: Position, more: v.boolean() });
const Standing = v.object({ position: Position });
const Gone = v.object({ next: Position });

/** `GET /v1/events` of the edge: the ends of sessions, as a stream and in pages (docs/http-api.md, "Events"). */
export class EdgeEvents {
  readonly #pool: Pool;
  readonly #path: string;
  readonly #authorization: string;
  readonly #deadlineMs: number;

  constructor({ edgeUrl, apiKey, deadlineMs, maxPagesAtOnce }: EdgeEventsOptions) {
    this.#pool = new Pool(edgeUrl.origin, {
      connections: maxPagesAtOnce + 1,
      connect: { timeout: deadlineMs },
      allowH2: false,
      pipelining: 1,
      headersTimeout: deadlineMs,
      bodyTimeout: SILENCE_MS,
    });
    this.#path = `${edgeUrl.pathname.replace(/\/$/, "")}/v1/events?kinds=ended`;
    this.#authorization = `Bearer ${apiKey}`;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * Reads the stream until it ends, which it says; it does not reject. `after`: the position of the last word of an earlier stream;
   * undefined: from now on.
   */
  async stream(after: string | undefined, handler: EventStreamHandler, signal: AbortSignal): Promise<StreamEnd> {
    let response: Dispatcher.ResponseData;
    try {
      const resume = after !== undefined && { "last-event-id": after };
      response = await this.#get(this.#path, { accept: "text/event-stream", ...resume }, signal);
    } catch (error) {
      return { code: "events_unreachable", detail: messageOf(error), isLasting: false };
    }
    const { statusCode, headers, body } = response;
    try {
      if (statusCode !== 200 || !String(headers["content-type"]).startsWith("text/event-stream")) {
        await body.dump();
        const isLasting = LASTING_REFUSALS.includes(statusCode);
        return { code: "events_refused", detail: `HTTP status ${statusCode}`, isLasting };
      }
      const events = new EventReader(handler);
      for await (const chunk of body) events.read(chunk as Buffer);
      return { code: "events_lost", detail: "the edge ended the stream", isLasting: false };
    } catch (error) {
      const isMalformed = error instanceof MalformedEvents || v.isValiError(error) || error instanceof SyntaxError;
      const code = isMalformed ? "events_malformed" : "events_lost";
      return { code, detail: isMalformed ? "an event that is none" : messageOf(error), isLasting: false };
    } finally {
      body.on("error", () => undefined).destroy();
    }
  }

  /** Reads the page that follows a position. Does not reject. */
  async page(after: string): Promise<EndsPage> {
    try {
      const path = `${this.#path}&limit=${PAGE_ENDS}&after=${encodeURIComponent(after)}`;
      const { statusCode, body } = await this.#get(
        path,
        { accept: "application/json" },
        AbortSignal.timeout(this.#deadlineMs),
      );
      const json = await jsonOf(body);
      if (statusCode === BAD_REQUEST) return { kind: "invalid" };
      if (statusCode === GONE) return { kind: "gone", ...v.parse(Gone, json) };
      if (statusCode !== 200) return { kind: "failed", detail: `HTTP status ${statusCode}` };
      const { events, next, more } = v.parse(Page, json);
      return { kind: "ends", ends: events, next, more };
    } catch (error) {
      return { kind: "failed", detail: v.isValiError(error) ? "a page that is none" : messageOf(error) };
    }
  }

  /** Closes all connections; what is under way ends. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  #get(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    return this.#pool.request({
      method: "GET",
      path,
      headers: { authorization: this.#authorization, ...headers },
      signal,
    });
  }
}

/** The body as JSON, if it is not longer than a page may be. */
async function jsonOf(body: Dispatcher.ResponseData["body"]): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += (chunk as Buffer).byteLength;
    if (bytes > MAX_PAGE_BYTES) throw new MalformedEvents("a page of too many bytes");
    chunks.push(chunk as Buffer);
  }
  return JSON.parse(Buffer.concat(chunks, bytes).toString());
}

class MalformedEvents extends Error {}

/** Reads a stream of events (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
class EventReader {
  readonly #handler: EventStreamHandler;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  /** An id, of which it is not known yet whether it comes without an event. */
  #id: string | undefined;
  readonly #parser = createParser({
    maxBufferSize: MAX_END_BYTES,
    onId: (id) => {
      this.#standAt(id);
    },
    onEvent: ({ event, data }) => {
      this.#id = undefined;
      if (event === "ended") this.#handler.ended(v.parse(Ended, JSON.parse(data)));
      else if (event === "reset") this.#handler.reset(v.parse(Standing, JSON.parse(data)).position);
    },
    onError: (error) => {
      // A field that a later edge may add is no error.
      if (error.type === "max-buffer-size-exceeded") throw new MalformedEvents(error.message);
    },
  });

  constructor(handler: EventStreamHandler) {
    this.#handler = handler;
  }

  /** @throws the stream is malformed */
  read(chunk: Uint8Array): void {
    this.#parser.feed(this.#decoder.decode(chunk, { stream: true }));
    this.#standAt(undefined);
    this.#handler.told();
  }

  /** The parser says an id right before its event: the one before had none, so it is a checkpoint. */
  #standAt(id: string | undefined): void {
    if (this.#id !== undefined) this.#handler.checkpoint(v.parse(Position, this.#id));
    this.#id = id;
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error ? `${error.code}: ${error.message}` : error.message;
}
