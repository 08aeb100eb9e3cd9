import { expect, it } from "vitest";
import type { SessionRequest, SessionResponse } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import type { SessionPolicy } from "../../../../worker/session-store/session-lifetime.ts";
import type { StoreHarness } from "../store-harness.ts";
import { register } from "./session-requests.ts";

const SECRET_HASH = "A".repeat(43);
const MINUTE = { touchIntervalMs: 60_000 };

/** For how long bridges may keep what they are told. */
export function keepBehaviour(harnessOf: () => StoreHarness): void {
  const uses: SessionRequest[] = [
    { kind: "check", sessid: 1 },
    { kind: "checkAccess", sessid: 1, resource: "room:a" },
    { kind: "identify", sessid: 1, secretHash: SECRET_HASH },
    { kind: "identify", sessid: 1, secretHash: SECRET_HASH, resource: "room:a" },
  ];
  const others: SessionRequest[] = [
    { kind: "check", sessid: 9 },
    { kind: "checkAccess", sessid: 9, resource: "room:a" },
    { kind: "identify", sessid: 9, secretHash: SECRET_HASH },
    { kind: "checkAccess", sessid: 1, resource: "shop" },
    { kind: "identify", sessid: 1, secretHash: SECRET_HASH, resource: "shop" },
    { kind: "identify", sessid: 1, secretHash: "B".repeat(43) },
    { kind: "get", sessid: 1 },
    { kind: "listUser", user: "kim" },
    { kind: "count" },
  ];
  const session = (idleMs?: number) =>
    register(1, { grants: ["room:*", "lobby"], secretHash: SECRET_HASH, ...(idleMs && { idleMs }) });

  /** The keepMs of a check, of an access check and of an identify. */
  async function kept(policy: Partial<SessionPolicy>, idleMs?: number, ageMs = 0): Promise<(number | undefined)[]> {
    const harness = harnessOf();
    const store = harness.open(policy);
    await store.run([session(idleMs)]);
    await harness.advance(ageMs);
    const responses = await store.run(uses, { forBridge: true });
    expect(responses.map(({ status }) => status)).toEqual(uses.map(() => Status.Ok));
    return responses.map((response) => ("keepMs" in response ? response.keepMs : undefined));
  }

  it("is said of sessions that were found Ok, to bridges alone", async () => {
    const store = harnessOf().open(MINUTE);
    await store.run([session()]);
    const forBridge = await store.run([...uses, ...others], { forBridge: true });
    const forOthers = await store.run([...uses, ...others]);
    const grants = ["room:*", "lobby"];
    const additions = [{ keepMs: 30_000 }, { keepMs: 30_000, grants }, { keepMs: 30_000 }, { keepMs: 30_000 }];
    expect(forBridge).toEqual(
      forOthers.map((response, index): SessionResponse => ({ ...response, ...additions[index] })),
    );
    for (const response of forOthers) expect(Object.keys(response)).not.toContain("keepMs");
    expect(await store.run([...uses, ...others], { forBridge: false })).toEqual(forOthers);
  });

  it("says the default grants of a session that was given none", async () => {
    const store = harnessOf().open(MINUTE);
    await store.run([register(1)]);
    expect(await store.run([{ kind: "checkAccess", sessid: 1, resource: "shop" }], { forBridge: true })).toEqual([
      { kind: "checkAccess", status: Status.Ok, keepMs: 30_000, grants: ["*"] },
    ]);
  });

  it("is at most half a minute, the touch interval and a tenth of the idle time, in whole seconds", async () => {
    expect(await kept({ touchIntervalMs: 3_600_000 })).toEqual(Array(4).fill(30_000));
    expect(await kept({ touchIntervalMs: 12_900 })).toEqual(Array(4).fill(12_000));
    expect(await kept({ touchIntervalMs: 900 })).toEqual(Array(4).fill(0));
    expect(await kept({ touchIntervalMs: 0 })).toEqual(Array(4).fill(0));
    expect(await kept(MINUTE, 78_000)).toEqual(Array(4).fill(7000));
    expect(await kept(MINUTE, 9000)).toEqual(Array(4).fill(0));
  });

  it("never goes beyond the session's expiry, also where the touch that is due will move that", async () => {
    const harness = harnessOf();
    const ages = await kept({ ...MINUTE, maxMs: harness.idleMs }, undefined, harness.idleMs - 20_600);
    for (const keepMs of ages) {
      expect(keepMs).toBeLessThanOrEqual(20_000);
      expect(keepMs).toBeGreaterThan(0);
      expect((keepMs ?? 1) % 1000).toBe(0);
    }
    if (harness.isClockStill) expect(ages).toEqual(Array(4).fill(20_000));
  });
}
