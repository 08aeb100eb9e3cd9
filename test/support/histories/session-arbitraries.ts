import fc from "fast-check";
import type { SessionRequest } from "../../../protocol/session-request.ts";

/** Few enough that requests meet; the names are what a record or a key in Redis could mistake for its own. */
const sessid = fc.constantFrom(1, 2, 3, 9, 10, -5);
const named = fc.constantFrom("kim", 'l"e\\e,"g":["*"],"h":"', "아르\u2028토\n", "__proto__", "kim*");
const user = fc.option(named, { nil: null });
const ip = fc.constantFrom(null, "10.0.0.1", "::1");
const resource = fc.constantFrom("room:a", "room:b", "shop");
const secretHash = fc.constantFrom("A".repeat(43), "B".repeat(43));
const grants = fc.constantFrom([], ["*"], ["room:*"], ['shop"', "room:a"]);

/** Half an hour or two hours: a refresh may shorten a life, and no test is that slow. */
const idleMs = fc.constantFrom(1_800_000, 7_200_000);

const choice = { sessid, user, ip, grants, secretHash, idleMs };
const requests: fc.Arbitrary<SessionRequest> = fc
  .oneof(
    {
      weight: 4,
      arbitrary: fc.record(
        { kind: fc.constant("register" as const), ...choice },
        { requiredKeys: ["kind", "sessid", "user", "ip"] },
      ),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("issue" as const), user, ip }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("check" as const), sessid }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("checkAccess" as const), sessid, resource }) },
    {
      weight: 1,
      arbitrary: fc.record(
        { kind: fc.constant("identify" as const), sessid, secretHash, resource },
        { requiredKeys: ["kind", "sessid", "secretHash"] },
      ),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("get" as const), sessid }) },
    {
      weight: 2,
      arbitrary: fc.record(
        { kind: fc.constant("delete" as const), sessid, user: named, secretHash },
        { requiredKeys: ["kind", "sessid"] },
      ),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("listUser" as const), user: named }) },
    {
      weight: 1,
      arbitrary: fc.record(
        { kind: fc.constant("deleteUser" as const), user: named, except: sessid },
        { requiredKeys: ["kind", "user"] },
      ),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("count" as const) }) },
  )
  // fast-check makes some without a prototype, which no call to a Durable Object can carry.
  .map((request) => ({ ...request }));
/** Batches for one store, one after the other. */
export const sessionBatches = fc.array(fc.array(requests, { minLength: 1, maxLength: 12 }), {
  minLength: 1,
  maxLength: 8,
});
