import { beforeEach, describe, expect, it } from "vitest";
import type { Session } from "../../../protocol/session-request.ts";
import { CheckMemory } from "../../../worker/http/check-memory.ts";

const NOW = 1_763_700_000_000;
const SECRET = new Uint8Array(16).fill(1);

let memory: CheckMemory;
beforeEach(() => {
  memory = new CheckMemory();
});

describe("what a check remembers", () => {
  it("is told for as long as the caller takes, and to who shows the secret", () => {
    learn(session(7));
    expect(memory.recall(7, SECRET, 2000, NOW + 2000)?.askedAt).toBe(NOW);
    expect(memory.recall(7, SECRET, 2000, NOW + 2001)).toBeUndefined();
    expect(memory.recall(7, SECRET, 0, NOW)).toBeUndefined();
    expect(memory.recall(7, new Uint8Array(16).fill(2), 2000, NOW)).toBeUndefined();
    expect(memory.recall(8, SECRET, 2000, NOW)).toBeUndefined();
  });

  it("ends with the session", () => {
    learn(session(7, { expiresAt: NOW + 1000 }));
    expect(memory.recall(7, SECRET, 5000, NOW + 999)).toBeDefined();
    expect(memory.recall(7, SECRET, 5000, NOW + 1000)).toBeUndefined();
  });

  it("is never that there is no session, nor an anonymous one, nor one with many grants", () => {
    memory.learn(memory.inquire(7, NOW), null, SECRET);
    learn(session(7, { user: null }));
    learn(session(7, { grants: Array<string>(10).fill("x".repeat(200)) }));
    expect(memory.size).toBe(0);
  });

  it("is nothing that the store said so late that nobody may be told; such inquiries are not kept for their answers", () => {
    const [late, timely] = [memory.inquire(7, NOW), memory.inquire(8, NOW + 1)];
    memory.inquire(9, NOW + 5001);
    memory.learn(late, session(7), SECRET);
    expect(memory.size).toBe(0);
    memory.learn(timely, session(8), SECRET);
    expect(memory.size).toBe(1);
  });

  it("is bounded: the longest known goes first", () => {
    for (let sessid = 1; sessid <= 5000; sessid++) learn(session(sessid));
    expect(memory.size).toBe(4096);
    expect(memory.recall(904, SECRET, 5000, NOW)).toBeUndefined();
    expect(memory.recall(905, SECRET, 5000, NOW)).toBeDefined();
  });

  it("is forgotten by session and by user", () => {
    for (const sessid of [1, 2, 3]) learn(session(sessid, { user: sessid === 3 ? "lee" : "kim" }));
    memory.forget(new Set([1]), new Set());
    expect([1, 2, 3].map((sessid) => memory.recall(sessid, SECRET, 1, NOW) !== undefined)).toEqual([false, true, true]);
    memory.forget(new Set(), new Set(["kim"]));
    expect([2, 3].map((sessid) => memory.recall(sessid, SECRET, 1, NOW) !== undefined)).toEqual([false, true]);
  });

  it("is not learned from an answer that a revoke has overtaken", () => {
    const [mine, others] = [memory.inquire(7, NOW), memory.inquire(8, NOW)];
    memory.forget(new Set([7]), new Set());
    memory.learn(mine, session(7), SECRET);
    memory.learn(others, session(8), SECRET);
    expect([memory.recall(7, SECRET, 1, NOW), memory.recall(8, SECRET, 1, NOW)?.session.sessid]).toEqual([
      undefined,
      8,
    ]);
    const third = memory.inquire(9, NOW);
    memory.forget(new Set(), new Set(["somebody"]));
    memory.learn(third, session(9), SECRET);
    expect(memory.recall(9, SECRET, 1, NOW)).toBeUndefined();
  });
});

function learn(known: Session): void {
  memory.learn(memory.inquire(known.sessid, NOW), known, SECRET);
}

function session(sessid: number, changes: Partial<Session> = {}): Session {
  return { sessid, user: "kim", ip: null, createdAt: NOW, expiresAt: NOW + 1_800_000, grants: ["*"], ...changes };
}
