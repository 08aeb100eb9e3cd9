import { type Context, Hono } from "hono";
import { accepts } from "hono/accepts";
import * as v from "valibot";
import { Status } from "../../protocol/status-codes.ts";
import { END_REASONS, type EndReason } from "../../protocol/watch-packets.ts";
import type { AppEnv } from "../app-env.ts";
import { encodeListening, STREAM_HEADERS } from "../events/event-stream.ts";
import { problem, statusProblem } from "../http/problem.ts";
import { EpochMs, Sessid, User } from "../http/schemas.ts";
import { query } from "../http/validate.ts";
import { openEventHub } from "../isolate.ts";
import { entryIdOf, MAX_LOG_PAGE } from "../session-store/session-log.ts";

/** Events on one page of JSON. */
const DEFAULT_PAGE = 100;
const PAGE_RULE = `allowed is a whole number, 1..${MAX_LOG_PAGE}`;

const KINDS = ["began", "changed", "ended"] as const;
const KINDS_RULE = `allowed are ${KINDS.join(", ")}, with commas between them`;
const POSITION_RULE = "allowed is the position of an event, as it was received";

const Position = v.pipe(
  v.string(POSITION_RULE),
  v.check((position) => entryIdOf(position) !== null, POSITION_RULE),
  v.metadata({ description: "Where a reader stands that has seen this event and all before it; opaque" }),
);

/** The query of GET /v1/events. */
export const EventsQuery = v.strictObject({
  after: v.optional(Position),
  kinds: v.optional(
    v.pipe(
      v.string(KINDS_RULE),
      v.transform((kinds) => kinds.split(",")),
      v.array(v.picklist(KINDS, KINDS_RULE)),
      v.transform((kinds) => new Set(kinds)),
    ),
  ),
  limit: v.optional(
    v.pipe(
      v.string(PAGE_RULE),
      v.regex(/^\d{1,4}$/, PAGE_RULE),
      v.transform(Number),
      v.minValue(1, PAGE_RULE),
      v.maxValue(MAX_LOG_PAGE, PAGE_RULE),
    ),
  ),
});

/** GET /v1/events, as JSON */
export const EventPage = v.object({
  events: v.array(
    v.object({
      position: Position,
      at: EpochMs,
      kind: v.picklist(KINDS),
      reason: v.nullable(v.picklist(Object.keys(END_REASONS) as EndReason[])),
      sessid: Sessid,
      user: v.nullable(User),
    }),
  ),
  next: v.pipe(v.string(), v.metadata({ description: "The `after` of the next page" })),
  more: v.pipe(v.boolean(), v.metadata({ description: "Whether there is a next page now" })),
});

/** `/v1/events`: what becomes of sessions, as a stream or page by page. */
export const events = new Hono<AppEnv>().get("/", query(EventsQuery), (c) =>
  respondWithEvents(c, c.req.valid("query"), null),
);

/**
 * The response to somebody who may know what becomes of sessions.
 *
 * @param sessid the session on whose behalf it asks; a stream is ended when this session ends or changes. What happened to it
 *   before the response came, the caller must find out from the store after that. Null: a service
 */
export async function respondWithEvents<Env extends AppEnv>(
  c: Context<Env>,
  { after, kinds, limit }: v.InferOutput<typeof EventsQuery>,
  sessid: number | null,
): Promise<Response> {
  // A browser that connects again asks for the same URL, and says here how far it came.
  const lastId = c.req.header("Last-Event-ID");
  if (lastId !== undefined && entryIdOf(lastId) === null)
    return problem(c, "invalid", `Last-Event-ID: ${POSITION_RULE}`);
  const position = lastId ?? after ?? null;
  const type = accepts(c, {
    header: "Accept",
    supports: ["text/event-stream", "application/json"],
    default: "text/event-stream",
  });
  if (type === "application/json") {
    const read = { after: position, limit: limit ?? DEFAULT_PAGE, ...(kinds && { kinds }) };
    const page = await c.get("store").readLog(read);
    if (page.kind === "unavailable") return statusProblem(c, Status.Unavailable);
    if (page.kind === "reset")
      return problem(c, "gone", "after: events after this position are lost", { next: page.position });
    return c.json({ events: page.events, next: page.position, more: page.more }, 200, { "Cache-Control": "no-store" });
  }
  if (limit !== undefined) return problem(c, "invalid", "limit: allowed with Accept: application/json");
  // Nobody would read the stream.
  if (c.req.method === "HEAD") return c.body(null, 200, STREAM_HEADERS);
  try {
    const response = await openEventHub(c.env).fetch(
      encodeListening({ after: position, kinds: kinds ?? null, sessid }),
    );
    // With headers that can be added to.
    if (response.ok) return new Response(response.body, response);
    return response.status === 429
      ? problem(c, "too_many", "as many listen as may")
      : statusProblem(c, Status.Unavailable);
  } catch {
    // The hub is being moved, or is overloaded.
    return problem(c, "unavailable", "the event hub cannot be reached");
  }
}
