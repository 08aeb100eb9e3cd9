import { HEADER_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { PROBLEM_MEDIA_TYPE, PROBLEMS, type ProblemCode, problemDocument } from "../../protocol/problem-document.ts";
import { MAX_BATCH_BYTES, REQUEST_TYPES } from "../../protocol/service-packets.ts";
import { peerAddress } from "../../worker/http/client-address.ts";
import { isPlainHost, PLAIN_HOST_RULE } from "../../worker/http/plain-host.ts";
import { MAX_JSON_BYTES } from "../../worker/http/validate.ts";
import { sameSecret } from "../../worker/session-store/secrets.ts";

/** The edge that has the rooms, the hubs and the accounts, as an edge with EDGE_PRIMARY_URL knows it. */
export interface PrimaryEdge {
  /** Its origin. */
  readonly url: string;
  /** API_KEYS: of both edges. */
  readonly apiKeys: readonly string[];
}

/** Answers a request by the worker of this edge. */
export type AnswerHere = (request: Request) => Response | Promise<Response>;

/**
 * Answers a request at an edge that has a primary. What only reads sessions is answered here, by Redis. The rest goes to the primary:
 * what needs rooms, hubs or accounts, and every write, because the primary's hubs are those that know bridges, rooms and listeners,
 * and are told of a write at once by the edge that makes it.
 */
export function answerOrPass(
  request: Request,
  primary: PrimaryEdge,
  answerHere: AnswerHere,
): Response | Promise<Response> {
  const { method, headers } = request;
  const pathname = URL.parse(request.url)?.pathname;
  // With a Host that is none, the request's URL is none either: the worker says so.
  if (pathname === undefined || pathname === CHECK || pathname.startsWith(`${CHECK}/`)) return answerHere(request);
  // The path above may be the Host header's.
  if (!isPlainHost(headers.get("Host"))) return refuse("invalid", PLAIN_HOST_RULE);
  if (method === "POST" && pathname === PACKETS) return answerOrPassBatch(request, primary, answerHere);
  if (isReadOnly(method, pathname)) return answerHere(request);
  // The primary would refuse it before it has all of it, and the connection between the two would break with the response.
  if (announcedBytes(headers) > MAX_JSON_BYTES) return refuse("too_large", `body: allowed are ${MAX_JSON_BYTES} bytes`);
  return passOn(request, primary, request.body);
}

const CHECK = "/v1/check";
const PACKETS = "/v1/packets";

/** What is answered without rooms, hubs and accounts, and writes nothing but when a session was last checked. */
const READS = [
  /^\/(?:healthz|readyz|docs|openapi\.json)$/,
  /^\/artoria\/[^/]+$/,
  /^\/v1\/(?:session|count)$/,
  /^\/v1\/sessions\/[^/]+$/,
  /^\/v1\/users\/[^/]+\/sessions$/,
];
const READS_BY_POST = new Set(["/v1/sessions/check", "/v1/sessions/identify"]);

function isReadOnly(method: string, path: string): boolean {
  if (method === "POST") return READS_BY_POST.has(path);
  return (method === "GET" || method === "HEAD") && READS.some((read) => read.test(path));
}

/** The packets that write nothing. */
const READ_TYPES: ReadonlySet<number> = new Set([
  REQUEST_TYPES.check,
  REQUEST_TYPES.checkAccess,
  REQUEST_TYPES.identify,
  REQUEST_TYPES.count,
]);

/**
 * Each spelling with which the worker lets a key in (RFC 9110 §11.1, §11.4): one that was not known here would have a write answered by
 * an edge without hubs.
 */
const BEARER = /^bearer\s+(.*)$/i;

/** A batch of packets is one request to the store, so that one packet that writes takes all of them to the primary. */
async function answerOrPassBatch(request: Request, primary: PrimaryEdge, answerHere: AnswerHere): Promise<Response> {
  const { headers } = request;
  // Nothing is held for somebody without a key: the worker refuses before it reads.
  const [, shown = ""] = BEARER.exec(headers.get("Authorization") ?? "") ?? [];
  if (!primary.apiKeys.some((key) => sameSecret(key, shown))) return answerHere(request);
  // Bridges always say how long a batch is.
  const bytes = announcedBytes(headers);
  if (bytes > MAX_BATCH_BYTES) return answerHere(request);
  if (Number.isNaN(bytes)) return passOn(request, primary, request.body);
  const body = await request.arrayBuffer();
  return isEveryPacketRead(new Uint8Array(body))
    ? answerHere(new Request(request, { body }))
    : passOn(request, primary, body);
}

/** NaN: the length is not said. */
function announcedBytes(headers: Headers): number {
  return Number(headers.get("Content-Length") ?? Number.NaN);
}

/** Whether a batch is whole packets that write nothing. */
export function isEveryPacketRead(batch: Uint8Array): boolean {
  let at = 0;
  while (at + HEADER_BYTES <= batch.byteLength && READ_TYPES.has(packetType(batch, at))) {
    const size = packetSizeAt(batch, at);
    if (size < HEADER_BYTES) return false;
    at += size;
  }
  return at === batch.byteLength;
}

/**
 * How long the primary may take until its response begins. The slowest it allows itself is a form that arrives slowly
 * (FORM_TIMEOUT_SECONDS, 15 by default); whoever waits for checks or deletes gives up earlier.
 */
const PRIMARY_DEADLINE_MS = 30_000;

/** RFC 8586: who has passed a request on. A primary that passes it on too would be a loop, or lead to one. */
const LOOP_HEADER = "CDN-Loop";
const LOOP_NAME = "artoria";

/**
 * Passes a request on as a proxy does. The primary believes X-Forwarded-For, in which the last address is whoever connected here, if
 * TRUSTED_PROXIES there has the address of this edge.
 */
async function passOn(request: Request, { url }: PrimaryEdge, body: BodyInit | null): Promise<Response> {
  const { method, headers } = request;
  const passedBy = (headers.get(LOOP_HEADER) ?? "").toLowerCase().split(/[,;]/, 100);
  if (passedBy.some((name) => name.trim() === LOOP_NAME)) {
    return refuse("not_configured", "EDGE_PRIMARY_URL: it leads to an edge that has a primary itself, or to this one");
  }
  const passed = new Headers(headers);
  passed.append(LOOP_HEADER, LOOP_NAME);
  passed.append("X-Forwarded-For", peerAddress(request));
  passed.set("X-Forwarded-Host", headers.get("X-Forwarded-Host") ?? headers.get("Host") ?? "");
  const { pathname, search } = new URL(request.url);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PRIMARY_DEADLINE_MS);
  try {
    return await fetch(url + pathname + search, {
      method,
      headers: passed,
      body,
      redirect: "manual",
      signal: abort.signal,
    });
  } catch (error) {
    logAway(error);
    return refuse("unavailable", "the primary edge cannot be reached");
  } finally {
    clearTimeout(timer);
  }
}

function refuse(code: ProblemCode, detail: string): Response {
  const headers = { "Content-Type": PROBLEM_MEDIA_TYPE, "Cache-Control": "no-store" };
  return new Response(problemDocument(code, detail), { status: PROBLEMS[code].status, headers });
}

/** A primary that is away is logged at most once in this time. */
const LOG_INTERVAL_MS = 60_000;
let loggedMs = 0;

function logAway(error: unknown): void {
  const nowMs = Date.now();
  if (nowMs - loggedMs < LOG_INTERVAL_MS) return;
  loggedMs = nowMs;
  // biome-ignore lint/suspicious/noConsole: a Worker's log is its console
  console.warn(`the primary edge cannot be reached: ${error instanceof Error ? error.message : String(error)}`);
}
