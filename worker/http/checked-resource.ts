import { MAX_RESOURCE_BYTES } from "../../protocol/service-packets.ts";

/** What a caller of `/v1/check` asks about. */
export type CheckedResource =
  | { readonly kind: "none" }
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "refused"; readonly reason: string };

const CHECK_PATH = "/v1/check";

/** What most proxies ask: a URL that is not worth a parser. */
const NAMES_NOTHING = /^https?:\/\/[^/?#]*\/v1\/check$/;

const NONE = { kind: "none" } as const;

const utf8 = new TextEncoder();

/**
 * The resource of a `/v1/check` request: what follows the path (Envoy's way; the query is then the protected request's
 * own), otherwise exactly one of the query's `resource`, `X-Original-URI` (nginx) and `X-Forwarded-Uri` (Traefik,
 * Caddy). Two of them are refused: a proxy sets one, so the other was made up by its client.
 *
 * A path is compared percent-decoded, without its query. One that a server behind might read as another path (dot
 * segments, encoded slashes, backslashes) is refused.
 */
export function checkedResource({ url, headers }: Request): CheckedResource {
  const uris = [headers.get("X-Original-URI"), headers.get("X-Forwarded-Uri")].filter((uri) => uri !== null);
  if (uris.length === 0 && NAMES_NOTHING.test(url)) return NONE;
  const { pathname, searchParams } = new URL(url);
  const below = pathname.slice(CHECK_PATH.length);
  if (below !== "") return namedByPath(below);
  const named = [...searchParams.getAll("resource").map(namedAsIs), ...uris.map(namedByUri)];
  if (named.length > 1) return { kind: "refused", reason: "the resource is named more than once" };
  return named[0] ?? NONE;
}

/** The path of a request target: `/path?query`, or absolute as some proxies forward it. */
function namedByUri(uri: string): CheckedResource {
  // Fields of one name arrive joined by ", ", and no URI holds a space: this was sent twice.
  if (/[\s#]/.test(uri)) return { kind: "refused", reason: "the resource is named more than once" };
  const path = uri.replace(/^https?:\/\/[^/?]*/i, "").split("?", 1)[0] ?? "";
  return namedByPath(path === "" ? "/" : path);
}

function namedByPath(path: string): CheckedResource {
  const decoded = decodePath(path);
  if (decoded === undefined || !decoded.startsWith("/")) {
    return { kind: "refused", reason: "the resource's path can be read in more than one way" };
  }
  return namedAsIs(decoded);
}

function namedAsIs(name: string): CheckedResource {
  if (name === "" || name.includes("\0") || utf8.encode(name).length > MAX_RESOURCE_BYTES) {
    return { kind: "refused", reason: `resource: allowed are 1..${MAX_RESOURCE_BYTES} bytes of UTF-8 without U+0000` };
  }
  return { kind: "named", name };
}

/** The path with each segment percent-decoded, undefined where another reader may see other segments. */
function decodePath(path: string): string | undefined {
  try {
    const segments = path.split("/").map(decodeURIComponent);
    // Servlet containers drop what follows a ";" in a segment: their "..;" is "..".
    const ambiguous = segments.some((segment) => /^\.{1,2}(?:;|$)|[/\\]/.test(segment));
    return ambiguous ? undefined : segments.join("/");
  } catch {
    // Not valid percent-encoded UTF-8.
    return undefined;
  }
}
