import { describe, expect, test } from "vitest";
import { findAnomalies } from "../support/histories/linearizability.ts";
import {
  type RecordedCall,
  type SessionAnswer,
  type SessionCall,
  type SessionRules,
  sessionHistories,
  sessionModel,
} from "../support/histories/session-history.ts";

const RULES: SessionRules = { boundMs: 1_000, evicts: false, lifetimeMs: null, repeats: false };
const TOKEN = "AAAAAAAAAAAAAAAAAAAAAAAA-one";
const NEXT_TOKEN = "AAAAAAAAAAAAAAAAAAAAAAAA-two";

/** One call: what, its answer (undefined: none), from when to when; `at` a bridge unless it says the edge. */
function made(
  call: SessionCall,
  answer: SessionAnswer["status"] | SessionAnswer | undefined,
  calledAt: number,
  returnedAt: number,
  at: "bridge" | "edge" = "bridge",
): RecordedCall {
  return {
    client: `a client of the ${at}`,
    throughBridge: at === "bridge",
    call,
    answer: typeof answer === "string" ? { status: answer } : answer,
    calledAt,
    returnedAt: answer === undefined ? Number.POSITIVE_INFINITY : returnedAt,
  };
}

const CHECK: SessionCall = { kind: "check", sessid: 7 };
const ENTER: SessionCall = { kind: "checkAccess", sessid: 7, resource: "room:a" };
const IDENTIFY: SessionCall = { kind: "identify", sessid: 7, token: TOKEN, resource: null };
const DELETE: SessionCall = { kind: "delete", sessid: 7, user: null };
const DELETE_KIM: SessionCall = { kind: "deleteUser", user: "kim" };
const register = (user: string, grants: readonly string[] | null = null, sessid = 7): SessionCall => ({
  kind: "register",
  sessid,
  user,
  grants,
  renewsToken: grants !== null,
});
/** kim's session 7 is there from 2 on. */
const BEGUN = made(register("kim", ["room:a"]), { status: "Ok", token: TOKEN, created: true }, 1, 2, "edge");
const SECOND_TOKEN: SessionAnswer = { status: "Ok", token: NEXT_TOKEN, created: false };

function anomaliesIn(calls: readonly RecordedCall[], rules: SessionRules = RULES): readonly string[] {
  return findAnomalies({ byKey: sessionHistories(calls, rules) }, sessionModel(rules));
}

describe("a history of sessions is explained", () => {
  test.each<[string, readonly RecordedCall[], Partial<SessionRules>?]>([
    [
      "when a session is found from its begin to its end",
      [BEGUN, made(CHECK, "Ok", 3, 4), made(DELETE, "Ok", 5, 6), made(CHECK, "NotFound", 7, 8)],
    ],
    [
      "when a bridge says Ok after the store said NotFound, while the delete is not answered",
      [BEGUN, made(DELETE, "Ok", 3, 20, "edge"), made(CHECK, "NotFound", 5, 6, "edge"), made(CHECK, "Ok", 7, 8)],
    ],
    [
      "when a bridge says Ok by old grants while their change is not answered",
      [
        BEGUN,
        made(register("kim", ["room:b"]), SECOND_TOKEN, 3, 20, "edge"),
        made(ENTER, "Denied", 5, 6, "edge"),
        made(ENTER, "Ok", 7, 8),
      ],
    ],
    [
      "when a bridge identifies by an old token while its change is not answered",
      [
        BEGUN,
        made(register("kim", ["room:a"]), SECOND_TOKEN, 3, 20, "edge"),
        made(IDENTIFY, "NotFound", 5, 6, "edge"),
        made(IDENTIFY, { status: "Ok", user: "kim" }, 7, 8),
      ],
    ],
    [
      "when a delete without an answer takes effect late",
      [BEGUN, made(DELETE, undefined, 3, 4), made(CHECK, "Ok", 5_000, 5_001), made(CHECK, "NotFound", 9_000, 9_001)],
    ],
    [
      "when a bridge says Ok within the bound after a delete that is never answered was seen",
      [
        BEGUN,
        made(DELETE, undefined, 3, 4, "edge"),
        made(CHECK, "NotFound", 10, 11, "edge"),
        made(CHECK, "Ok", 1_000, 1_001),
      ],
    ],
    [
      "when the repetition of a delete finds what the first has done",
      [BEGUN, made(DELETE, "NotFound", 3, 4), made(CHECK, "NotFound", 5, 6)],
    ],
    [
      "when the end of a user's sessions ends this one, and the number goes to another user",
      [
        BEGUN,
        made(DELETE_KIM, "Ok", 3, 4),
        made(register("lee"), "Ok", 5, 6),
        made(DELETE_KIM, "Ok", 7, 8),
        made(CHECK, "Ok", 9, 10),
      ],
    ],
    [
      "when a refresh without grants keeps the grants and the token",
      [BEGUN, made(register("kim"), "Ok", 3, 4), made(ENTER, "Ok", 5, 6), made(IDENTIFY, "Ok", 7, 8)],
    ],
    [
      "when a newer session of the user evicts it",
      [BEGUN, made(register("kim", null, 8), "Ok", 3, 4), made(CHECK, "NotFound", 5, 6)],
      { evicts: true },
    ],
    [
      "when a repeated register begins it twice",
      [
        made(register("kim"), "Ok", 1, 20),
        made(CHECK, "Ok", 2, 3, "edge"),
        made(DELETE, "Ok", 4, 5, "edge"),
        made(CHECK, "NotFound", 6, 7, "edge"),
        made(CHECK, "Ok", 21, 22, "edge"),
      ],
      { repeats: true },
    ],
    [
      "when it expires after its lifetime",
      [BEGUN, made(CHECK, "Ok", 900, 901), made(CHECK, "NotFound", 1_100, 1_101)],
      { lifetimeMs: 1_000 },
    ],
    [
      "when its number goes to another user after its lifetime",
      [BEGUN, made(register("lee"), "Ok", 1_100, 1_101), made(CHECK, "Ok", 1_102, 1_103)],
      { lifetimeMs: 1_000 },
    ],
  ])("%s", (_, calls, rules) => {
    expect(anomaliesIn(calls, { ...RULES, ...rules })).toEqual([]);
  });
});

describe("a history of sessions is an anomaly", () => {
  test.each<[string, readonly RecordedCall[], Partial<SessionRules>?]>([
    [
      "when a bridge says Ok after a delete was answered",
      [BEGUN, made(DELETE, "Ok", 3, 4, "edge"), made(CHECK, "Ok", 5, 6)],
    ],
    [
      "when a bridge says Ok after the end of the user's sessions was answered",
      [BEGUN, made(DELETE_KIM, "Ok", 3, 4, "edge"), made(CHECK, "Ok", 5, 6)],
    ],
    ["when NotFound becomes Ok without a begin", [BEGUN, made(CHECK, "NotFound", 3, 4), made(CHECK, "Ok", 5, 6)]],
    ["when nothing ends a session that is gone", [BEGUN, made(CHECK, "NotFound", 3, 4)]],
    [
      "when a bridge says Ok by old grants after their change was answered",
      [BEGUN, made(register("kim", ["room:b"]), SECOND_TOKEN, 3, 4, "edge"), made(ENTER, "Ok", 5, 6)],
    ],
    [
      "when a bridge identifies by an old token after its change was answered",
      [BEGUN, made(register("kim", ["room:a"]), SECOND_TOKEN, 3, 4, "edge"), made(IDENTIFY, "Ok", 5, 6)],
    ],
    [
      "when the edge, which asks the store, says Ok after NotFound while the delete is not answered",
      [BEGUN, made(DELETE, "Ok", 3, 20), made(CHECK, "NotFound", 5, 6), made(CHECK, "Ok", 7, 8, "edge")],
    ],
    [
      "when a bridge says NotFound by a state to come, and Ok is answered in between by the store",
      [BEGUN, made(CHECK, "NotFound", 3, 4), made(CHECK, "Ok", 5, 6, "edge"), made(DELETE, "Ok", 7, 8)],
    ],
    [
      "when a bridge says Ok later than the bound after a delete was seen that is never answered",
      [
        BEGUN,
        made(DELETE, undefined, 3, 4, "edge"),
        made(CHECK, "NotFound", 10, 11, "edge"),
        made(CHECK, "Ok", 1_012, 1_013),
      ],
    ],
    [
      "when a delete that failed has ended the session",
      [BEGUN, made({ ...DELETE, user: "lee" }, "Denied", 3, 4), made(CHECK, "NotFound", 5, 6)],
    ],
    [
      "when a delete that said NotFound has ended nothing",
      [BEGUN, made(DELETE, "NotFound", 3, 4), made(CHECK, "Ok", 5, 6)],
    ],
    [
      "when a session has another user than the one that registered it",
      [BEGUN, made(IDENTIFY, { status: "Ok", user: "lee" }, 3, 4)],
    ],
    [
      "when a list leaves a live session out",
      [BEGUN, made({ kind: "list", user: "kim" }, { status: "Ok", sessions: new Map() }, 3, 4)],
    ],
    [
      "when the end of a user's sessions ends another user's",
      [BEGUN, made({ kind: "deleteUser", user: "lee" }, "Ok", 3, 4), made(CHECK, "NotFound", 5, 6)],
    ],
    [
      "when a session is evicted by one of another user",
      [BEGUN, made(register("lee", null, 8), "Ok", 3, 4), made(CHECK, "NotFound", 5, 6)],
      { evicts: true },
    ],
    [
      "when a bridge says Ok after an eviction was answered that the store shows",
      [
        BEGUN,
        made(register("kim", null, 8), "Ok", 3, 4),
        made(CHECK, "NotFound", 5, 6, "edge"),
        made(CHECK, "Ok", 7, 8),
      ],
      { evicts: true },
    ],
    ["when a session is found after its lifetime", [BEGUN, made(CHECK, "Ok", 1_100, 1_101)], { lifetimeMs: 1_000 }],
    ["when a session ends before its lifetime does", [BEGUN, made(CHECK, "NotFound", 900, 901)], { lifetimeMs: 1_000 }],
  ])("%s", (_, calls, rules) => {
    expect(anomaliesIn(calls, { ...RULES, ...rules })).toHaveLength(1);
  });
});

test("a counterexample has the few calls that contradict each other, and none of the others", () => {
  const others = Array.from({ length: 200 }, (_, turn) => [
    made(CHECK, "Ok", 3 + 0.1 * turn, 3.2 + 0.1 * turn),
    made({ kind: "delete", sessid: 7, user: "lee" }, "Denied", 3.1 + 0.1 * turn, 3.3 + 0.1 * turn),
    made(register("max", null, 9), "Ok", 3 + 0.1 * turn, 3.1 + 0.1 * turn, "edge"),
  ]).flat();
  const calls = [
    BEGUN,
    ...others,
    made(DELETE, "Ok", 30, 31, "edge"),
    made(CHECK, "Ok", 33.25, 34.5),
    made(CHECK, "NotFound", 35, 36),
  ];
  expect(anomaliesIn(calls)).toEqual([
    [
      "session 7:",
      "  30..31 client a client of the edge: delete 7 -> Ok",
      "  33.25..34.5 client a client of the bridge: check 7 -> Ok",
    ].join("\n"),
  ]);
});
