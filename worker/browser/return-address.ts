/** A path with its query: `/me?tab=1`. Nobody's address is longer; what is, is not worth a redirect. */
const MAX_RETURN_CHARACTERS = 2048;

/** Stands in for this site while an address is resolved; `.invalid` is nobody's (RFC 6761). */
const THIS_SITE = "https://this-site.invalid";

/** Where to go after a login that was not asked for by a page. */
export const MAIN_PAGE = "/";

/**
 * The `return` of a login page's query: percent-encoded as in any form, or, beginning with a plain `/`, all that follows as
 * it is. That is how a proxy which cannot encode writes it: `/login?return=$request_uri`.
 */
export function returnInQuery(requestUrl: string): string {
  const raw = /[?&]return=([^#]*)/.exec(requestUrl)?.[1] ?? "";
  return raw.startsWith("/") ? raw : (new URLSearchParams(`return=${raw}`).get("return") ?? "");
}

/**
 * The path of this site to go back to, and {@link MAIN_PAGE} for anything else: another site in whatever spelling, and
 * the pages that led here. `host` is this site's: an absolute address of it is taken, as Traefik writes it.
 */
export function safeReturn(wanted: string, host: string): string {
  if (wanted.length > MAX_RETURN_CHARACTERS) return MAIN_PAGE;
  const address = parseReturn(wanted, host);
  if (address === null) return MAIN_PAGE;
  const path = address.pathname + address.search;
  // "/.//other.example" is on this site until it is a path alone.
  if (path.startsWith("//") || /^\/(?:login|signup|logout)\/?$/.test(address.pathname)) return MAIN_PAGE;
  return path;
}

function parseReturn(wanted: string, host: string): URL | null {
  if (/^https?:\/\//.test(wanted)) {
    const absolute = URL.parse(wanted);
    return absolute?.host === host ? absolute : null;
  }
  if (!wanted.startsWith("/")) return null;
  // The parser reads backslashes, tabs and newlines as browsers do: what would leave the site shows another origin.
  const address = URL.parse(wanted, THIS_SITE);
  return address?.origin === THIS_SITE ? address : null;
}
