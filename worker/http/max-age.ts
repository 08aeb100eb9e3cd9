import { MAX_CACHE_AGE_SECONDS } from "../session-store/session-cache.ts";

/**
 * How old an answer may be, in seconds, 0..5: the `max-age` of a request's Cache-Control (RFC 9111 §5.2.1.1). 0 without one,
 * with one that is not a whole number, and with `no-cache` or `no-store`; the smallest of several.
 */
export function allowedAgeSeconds(cacheControl: string | undefined): number {
  const directives = (cacheControl ?? "")
    .toLowerCase()
    .split(",")
    .map((directive) => directive.trim());
  if (directives.includes("no-cache") || directives.includes("no-store")) return 0;
  const ages = directives
    .filter((directive) => directive.startsWith("max-age"))
    .map((directive) => /^max-age="?(\d{1,10})"?$/.exec(directive)?.[1] ?? "0")
    .map(Number);
  return ages.length === 0 ? 0 : Math.min(MAX_CACHE_AGE_SECONDS, ...ages);
}
