import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findAnomalies, History, isLinearizable, type Operation } from "../support/histories/linearizability.ts";
import { REGISTER, type RegisterInput, type RegisterOutput } from "../support/histories/register-model.ts";

type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

/** `null` as the return: no response. */
function write(client: number, value: string | null, calledAt: number, returnedAt: number | null): RegisterOperation {
  const input = { kind: "write", value } as const;
  return returnedAt === null
    ? { client, input, output: undefined, calledAt, returnedAt: Number.POSITIVE_INFINITY }
    : { client, input, output: "done", calledAt, returnedAt };
}

function read(client: number, value: string | null, calledAt: number, returnedAt: number): RegisterOperation {
  return { client, input: { kind: "read" }, output: { value }, calledAt, returnedAt };
}

describe("the search for an order", () => {
  test.each<[string, boolean, RegisterOperation[]]>([
    ["a read of what was written before", true, [write(0, "a", 1, 2), read(1, "a", 3, 4)]],
    ["a stale read after a write was answered", false, [write(0, "a", 1, 2), read(1, null, 3, 4)]],
    ["a stale read while the write is under way", true, [write(0, "a", 1, 4), read(1, null, 2, 3)]],
    [
      "new, then old, while the write is under way",
      false,
      [write(0, "a", 1, 6), read(1, "a", 2, 3), read(2, null, 4, 5)],
    ],
    [
      "a write without an answer that happened late",
      true,
      [write(0, "a", 1, null), read(1, null, 2, 3), read(1, "a", 4, 5)],
    ],
    [
      "a write without an answer that was taken back",
      false,
      [write(0, "a", 1, null), read(1, "a", 2, 3), read(1, null, 4, 5)],
    ],
    ["a write without an answer that nobody sees", true, [write(0, "a", 1, null), read(1, null, 2, 3)]],
    ["an answered write that is lost", false, [write(0, "a", 1, 2), write(0, "b", 3, 4), read(1, "a", 5, 6)]],
    ["a value that nobody wrote", false, [read(0, "x", 1, 2)]],
  ])("%s: explained is %s", (_, explained, operations) => {
    expect(isLinearizable(operations, REGISTER)).toBe(explained);
  });

  test("agrees with trying every order", () => {
    let rejected = 0;
    fc.assert(
      fc.property(fc.array(smallOperation, { maxLength: 6 }), (drawn) => {
        const operations = drawn.map(({ of, calledAt, tookMs }, client) => {
          const returnedAt = calledAt + tookMs + 0.5;
          if (of.kind === "read") return read(client, of.value, calledAt, returnedAt);
          return write(client, of.value, calledAt, tookMs > 8 ? null : returnedAt);
        });
        const explained = isLinearizable(operations, REGISTER);
        if (!explained) rejected++;
        expect(explained).toBe(tryEveryOrder(operations, REGISTER.initial));
      }),
      { numRuns: 2_000, seed: 1 },
    );
    expect(rejected).toBeGreaterThan(200);
  });
});

const smallOperation = fc.record({
  of: fc.record({ kind: fc.constantFrom("read", "write"), value: fc.constantFrom(null, "a", "b") }),
  calledAt: fc.integer({ min: 0, max: 20 }),
  tookMs: fc.integer({ min: 0, max: 10 }),
});

/** The definition itself. */
function tryEveryOrder(left: readonly RegisterOperation[], state: string | null): boolean {
  if (left.every(({ output }) => output === undefined)) return true;
  const firstReturn = Math.min(...left.map(({ returnedAt }) => returnedAt));
  return left.some((operation) => {
    if (operation.calledAt > firstReturn) return false;
    const others = left.filter((other) => other !== operation);
    return REGISTER.step(state, operation).some((after) => tryEveryOrder(others, after));
  });
}

describe("a recorded history", () => {
  const CALLERS = 16;
  const TURNS = 300;

  /** Callers that share a few keys of a store in which every answer takes its time; `stale` is a planted fault. */
  async function run(
    removes: boolean,
    stale: (turn: number) => boolean,
  ): Promise<History<RegisterInput, RegisterOutput>> {
    const history = new History<RegisterInput, RegisterOutput>();
    const values = new Map<string, string | null>();
    const before = new Map<string, string | null>();
    const hops = async (count: number) => {
      for (let hop = 0; hop < count; hop++) await Promise.resolve();
    };
    const call = async (client: number) => {
      for (let turn = 0; turn < TURNS; turn++) {
        const key = `k${(client * 7 + turn) % 5}`;
        await hops((client * turn) % 11);
        if ((client + turn) % 3 > 0) {
          await history.record(client, key, { kind: "read" }, async () => {
            await hops(3);
            const value = (stale(turn) ? before : values).get(key) ?? null;
            await hops(client % 4);
            return { value };
          });
        } else {
          const value = removes && turn % 4 === 0 ? null : `${client}:${turn}`;
          await history.record(client, key, { kind: "write", value }, async () => {
            await hops(2);
            before.set(key, values.get(key) ?? null);
            values.set(key, value);
            await hops(turn % 5);
            if (turn % 50 === 49) throw new Error("the answer is lost");
            return "done";
          });
        }
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, (_, client) => call(client)));
    return history;
  }

  test("of a store without a fault has no anomaly", async () => {
    const history = await run(true, () => false);
    expect(history.operations).toHaveLength(CALLERS * TURNS);
    expect(findAnomalies(history, REGISTER)).toEqual([]);
  });

  test("of a store that answers one turn from the state before is found out, and shown in a few lines", async () => {
    const anomalies = findAnomalies(await run(false, (turn) => turn === 200), REGISTER);
    expect(anomalies.length).toBeGreaterThan(0);
    for (const anomaly of anomalies) {
      expect(anomaly).toMatch(/^k\d:\n( {2}[\d.]+\.\.([\d.]+|\?) client \d+: \{"kind":"(read|write)".*\n?)+$/);
      expect(anomaly.split("\n").length).toBeLessThan(12);
    }
  });
});
