import { MAX_RESOURCE_BYTES } from "../../protocol/service-packets.ts";

/** The resource that a request for `/v1/check` names. */
export type CheckedResource =
  | { readonly kind: "none" }
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "refused"; readonly reason: string };

/** The URL that most proxies request: no need to parse it. */
const NAMES_NOTHING = /^https?:\/\/[^/?#]*\/v1\/check$/;

const NONE = { kind: "none" } as const;

const AMBIGUOUS = { kind: "refused", reason: "the resource's path can be read in more than one way" } as const;

/** What another reader may decode once more or take for a slash, and control characters, which some readers drop. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const READ_AGAIN = /%[\da-f]{2}|[\\\0-\x1f\x7f]/i;

const utf8 = new TextEncoder();

/**
 * The resource of a `/v1/check` request: exactly one of the query's `resource`, `X-Original-URI` (nginx, Caddy, Envoy) and
 * `X-Forwarded-Uri` (Traefik). Two of them are refused: a proxy sets one, so the other was made up by its client.
 *
 * A path is compared percent-decoded and without its query. A path that the protected server might read as another one (dot
 * segments, encoded slashes, backslashes, what is still encoded after decoding) is refused.
 */
export function checkedResource({ url, headers }: Request): CheckedResource {
  const uris = [headers.get("X-Original-URI"), headers.get("X-Forwarded-Uri")].filter((uri) => uri !== null);
  if (uris.length === 0 && NAMES_NOTHING.test(url)) return NONE;
  const named = [...new URL(url).searchParams.getAll("resource").map(namedByQuery), ...uris.map(namedByUri)];
  if (named.length > 1) return { kind: "refused", reason: "the resource is named more than once" };
  return named[0] ?? NONE;
}

/** A resource of the query, which the URL parser has decoded. */
function namedByQuery(name: string): CheckedResource {
  return name.startsWith("/") && isAmbiguous(name.split("/")) ? AMBIGUOUS : namedAsIs(name);
}

/** The path of a request target: `/path?query`, or absolute as some proxies forward it. */
function namedByUri(uri: string): CheckedResource {
  // Header fields of the same name arrive joined by ", ", and no URI has a space in it: the header was sent twice.
  if (/[\s#]/.test(uri)) return { kind: "refused", reason: "the resource is named more than once" };
  const path = uri.replace(/^https?:\/\/[^/?]*/i, "").split("?", 1)[0] ?? "";
  return namedByPath(path === "" ? "/" : path);
}

function namedByPath(path: string): CheckedResource {
  const segments = decodeSegments(path);
  if (segments === undefined || segments[0] !== "" || isAmbiguous(segments)) return AMBIGUOUS;
  return namedAsIs(segments.join("/"));
}

function namedAsIs(name: string): CheckedResource {
  if (name === "" || name.includes("\0") || utf8.encode(name).length > MAX_RESOURCE_BYTES) {
    return { kind: "refused", reason: `resource: allowed are 1..${MAX_RESOURCE_BYTES} bytes of UTF-8 without U+0000` };
  }
  return { kind: "named", name };
}

/** The path's segments, each percent-decoded; undefined if one is not valid percent-encoded UTF-8. */
function decodeSegments(path: string): string[] | undefined {
  try {
    return path.split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/** Whether another reader may see other segments than these. */
function isAmbiguous(segments: readonly string[]): boolean {
  // Servlet containers drop what follows a ";" in a segment: their "..;" is "..".
  return segments.some((segment) => /^\.{1,2}(?:;|$)|\//.test(segment) || READ_AGAIN.test(segment));
}
