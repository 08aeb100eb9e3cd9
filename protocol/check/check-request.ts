import { utf8Length } from "../packet-fields.ts";
import type { ProblemCode } from "../problem-document.ts";
import { MAX_RESOURCE_BYTES } from "../service-packets.ts";
import { type ClientHeader, clientToken } from "../session-token.ts";

// A global of the URL Standard, which all runtimes have: protocol/ is compiled without their types (packet-fields.ts).
declare class URLSearchParams {
  constructor(query: string);
  getAll(name: string): string[];
}

/** The headers of a request that decide about a check. */
export type CheckHeader = ClientHeader | "X-Original-URI" | "X-Forwarded-Uri";

/**
 * A header of the request, its bytes decoded as UTF-8. The lines of one name are joined by ", " (RFC 9110 §5.3), those of Cookie
 * too. null or undefined: there is none.
 */
export type HeaderReader = (name: CheckHeader) => string | null | undefined;

/** What a request to `/v1/check` asks. */
export type CheckRequest =
  | {
      readonly kind: "lookup";
      /** 20 bytes (protocol/session-token.ts). */
      readonly token: Uint8Array<ArrayBuffer>;
      /** What the session wants to enter: 1..MAX_RESOURCE_BYTES bytes of UTF-8. Empty: nothing in particular. */
      readonly resource: string;
    }
  | RefusedCheck;

/** A request that is refused without a look at any session. */
export interface RefusedCheck {
  readonly kind: "refused";
  readonly code: Extract<ProblemCode, "unauthenticated" | "denied">;
  readonly detail: string;
}

/** The text of every 401. */
export const NO_VALID_TOKEN = "a valid session token is needed";

const UNAUTHENTICATED = { kind: "refused", code: "unauthenticated", detail: NO_VALID_TOKEN } as const;

/**
 * The refusal of every path below `/v1/check`. A proxy that put the protected path there would let its client choose the route: on
 * Cloudflare and in most proxies, `..` in a path is resolved before a worker sees it.
 */
export const BELOW_CHECK = denied("the resource is named by X-Original-URI, not in this path");

/**
 * Reads a request to `/v1/check`, of any method (docs/http-api.md, "/v1/check").
 *
 * @param url the request's URL, or its query alone; a fragment ends it
 */
export function readCheck(url: string, header: HeaderReader): CheckRequest {
  const shown = clientToken(header);
  if (shown === undefined) return UNAUTHENTICATED;
  const resource = checkedResource(url, header);
  return typeof resource === "string" ? { kind: "lookup", token: shown.token, resource } : resource;
}

/**
 * The resource that a request names, empty without one: exactly one of the query's `resource`, `X-Original-URI` (nginx, Caddy,
 * Envoy) and `X-Forwarded-Uri` (Traefik). Two of them are refused: a proxy sets one, so the other was made up by its client.
 *
 * A path is compared percent-decoded and without its query. A path that the protected server might read as another one (dot
 * segments, encoded slashes, backslashes, what is still encoded after decoding) is refused.
 */
function checkedResource(url: string, header: HeaderReader): string | RefusedCheck {
  const query = queryOf(url);
  const [original, forwarded] = [header("X-Original-URI") ?? undefined, header("X-Forwarded-Uri") ?? undefined];
  const named = [
    // Most proxies send no query, and in workerd each call of URLSearchParams leaves V8.
    ...(query === "" ? [] : new URLSearchParams(query).getAll("resource").map(namedByQuery)),
    ...[original, forwarded].filter((uri) => uri !== undefined).map(namedByUri),
  ];
  return named.length > 1 ? TWICE : (named[0] ?? "");
}

const TWICE = denied("the resource is named more than once");

const AMBIGUOUS = denied("the resource's path can be read in more than one way");

function denied(detail: string): RefusedCheck {
  return { kind: "refused", code: "denied", detail };
}

function queryOf(url: string): string {
  const fragment = url.indexOf("#");
  const end = fragment < 0 ? url.length : fragment;
  const start = url.indexOf("?");
  return start < 0 || start > end ? "" : url.slice(start + 1, end);
}

/** A resource of the query, which has been decoded. */
function namedByQuery(name: string): string | RefusedCheck {
  return name.startsWith("/") && isAmbiguous(name.split("/")) ? AMBIGUOUS : namedAsIs(name);
}

/** The path of a request target: `/path?query`, or absolute as some proxies forward it. */
function namedByUri(uri: string): string | RefusedCheck {
  // The lines of a header are joined by ", ", and no URI has a space in it: the header was sent twice.
  if (/[\s#]/.test(uri)) return TWICE;
  const path = uri.replace(/^https?:\/\/[^/?]*/i, "").split("?", 1)[0] ?? "";
  return namedByPath(path === "" ? "/" : path);
}

function namedByPath(path: string): string | RefusedCheck {
  const segments = decodeSegments(path);
  if (segments === undefined || segments[0] !== "" || isAmbiguous(segments)) return AMBIGUOUS;
  return namedAsIs(segments.join("/"));
}

function namedAsIs(name: string): string | RefusedCheck {
  // A UTF-16 unit has at most 3 bytes of UTF-8: a short name need not be encoded.
  const isTooLong = name.length * 3 > MAX_RESOURCE_BYTES && utf8Length(name) > MAX_RESOURCE_BYTES;
  if (name === "" || name.includes("\0") || isTooLong) {
    return denied(`resource: allowed are 1..${MAX_RESOURCE_BYTES} bytes of UTF-8 without U+0000`);
  }
  return name;
}

/** The path's segments, each percent-decoded; undefined if one is not valid percent-encoded UTF-8. */
function decodeSegments(path: string): string[] | undefined {
  try {
    return path.split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/** What another reader may decode once more or take for a slash, and control characters, which some readers drop. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const READ_AGAIN = /%[\da-f]{2}|[\\\0-\x1f\x7f]/i;

/** Whether another reader may see other segments than these. */
function isAmbiguous(segments: readonly string[]): boolean {
  // Servlet containers drop what follows a ";" in a segment: their "..;" is "..".
  return segments.some((segment) => /^\.{1,2}(?:;|$)|\//.test(segment) || READ_AGAIN.test(segment));
}
