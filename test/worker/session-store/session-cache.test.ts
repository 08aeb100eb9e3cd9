import { beforeEach, describe, expect, it } from "vitest";
import type { Session } from "../../../protocol/session-request.ts";
import { SessionCache } from "../../../worker/session-store/session-cache.ts";

const NOW = 1_763_700_000_000;
const SECRET = new Uint8Array(16).fill(1);

let cache: SessionCache;
beforeEach(() => {
  cache = new SessionCache();
});

describe("SessionCache", () => {
  it("returns an entry up to the age that the caller accepts, and only for its secret", () => {
    lookUp(session(7));
    expect(cache.get(7, SECRET, 2000, NOW + 2000)?.askedAt).toBe(NOW);
    expect(cache.get(7, SECRET, 2000, NOW + 2001)).toBeUndefined();
    expect(cache.get(7, SECRET, 0, NOW)).toBeUndefined();
    expect(cache.get(7, new Uint8Array(16).fill(2), 2000, NOW)).toBeUndefined();
    expect(cache.get(8, SECRET, 2000, NOW)).toBeUndefined();
  });

  it("returns no entry of a session that has expired", () => {
    lookUp(session(7, { expiresAt: NOW + 1000 }));
    expect(cache.get(7, SECRET, 5000, NOW + 999)).toBeDefined();
    expect(cache.get(7, SECRET, 5000, NOW + 1000)).toBeUndefined();
  });

  it("caches neither the absence of a session, nor an anonymous session, nor one with many grants", () => {
    cache.put(cache.begin(7, NOW), null, SECRET);
    lookUp(session(8, { user: null }));
    lookUp(session(9, { grants: Array<string>(10).fill("x".repeat(200)) }));
    expect([7, 8, 9].filter(isCached)).toEqual([]);
  });

  it("drops a pending lookup that is older than any response that may be served", () => {
    const [late, timely] = [cache.begin(7, NOW), cache.begin(8, NOW + 1)];
    cache.begin(9, NOW + 5001);
    cache.put(late, session(7), SECRET);
    expect(isCached(7)).toBe(false);
    cache.put(timely, session(8), SECRET);
    expect(isCached(8)).toBe(true);
  });

  it("drops the oldest entry beyond 4096", () => {
    for (let sessid = 1; sessid <= 5000; sessid++) lookUp(session(sessid));
    expect(isCached(904)).toBe(false);
    expect(isCached(905)).toBe(true);
  });

  it("invalidates by session and by user", () => {
    for (const sessid of [1, 2, 3]) lookUp(session(sessid, { user: sessid === 3 ? "lee" : "kim" }));
    cache.invalidate(new Set([1]), new Set());
    expect([1, 2, 3].map(isCached)).toEqual([false, true, true]);
    cache.invalidate(new Set(), new Set(["kim"]));
    expect([2, 3].map(isCached)).toEqual([false, true]);
  });

  it("caches no response of a lookup that an invalidation has overtaken", () => {
    const [mine, others] = [cache.begin(7, NOW), cache.begin(8, NOW)];
    cache.invalidate(new Set([7]), new Set());
    cache.put(mine, session(7), SECRET);
    cache.put(others, session(8), SECRET);
    expect([cache.get(7, SECRET, 1, NOW), cache.get(8, SECRET, 1, NOW)?.session.sessid]).toEqual([undefined, 8]);
    const third = cache.begin(9, NOW);
    cache.invalidate(new Set(), new Set(["somebody"]));
    cache.put(third, session(9), SECRET);
    expect(cache.get(9, SECRET, 1, NOW)).toBeUndefined();
  });
});

function isCached(sessid: number): boolean {
  return cache.get(sessid, SECRET, 5000, NOW + 1) !== undefined;
}

/** A lookup that finds this session. */
function lookUp(found: Session): void {
  cache.put(cache.begin(found.sessid, NOW), found, SECRET);
}

function session(sessid: number, changes: Partial<Session> = {}): Session {
  return { sessid, user: "kim", ip: null, createdAt: NOW, expiresAt: NOW + 1_800_000, grants: ["*"], ...changes };
}
