import { runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, it } from "vitest";
import {
  guardName,
  reserveLogin,
  reserveSignup,
  type TryOrigin,
  type TryVerdict,
} from "../../../worker/browser/login-limit.ts";
import { parseWorkerConfig } from "../../../worker/config.ts";
import { Browser, bindings, migrateAccounts, newName, PASSWORD } from "../../worker/browser/browser.ts";

beforeAll(migrateAccounts);

const { login: limits } = parseWorkerConfig({ SESSION_STORE: "embedded" });

/** Tries wrong passwords at a name, and counts the tries that were compared with its password. */
async function guess(name: string, tries: number, originOf: (index: number) => TryOrigin): Promise<number> {
  return countWrong(Array.from({ length: tries }, (_, index) => reserveLogin(bindings, limits, name, originOf(index))));
}

/** Consumes each try that was allowed as a wrong password, and counts them. */
async function countWrong(begun: readonly Promise<TryVerdict>[]): Promise<number> {
  const allowed = (await Promise.all(begun)).filter(({ kind }) => kind === "go");
  await Promise.all(allowed.map((attempt) => attempt.kind === "go" && attempt.consume()));
  return allowed.length;
}

/** Spends what strangers may try at a name. */
async function attack(name: string): Promise<void> {
  expect(await guess(name, 31, (index) => ({ address: `203.0.113.${index}` }))).toBe(30);
}

describe("an account", () => {
  it("can be tried 30 times a minute, from however many addresses", async () => {
    expect(await guess(newName(), 60, (index) => ({ address: `198.51.100.${index}` }))).toBe(30);
  });

  it("can be tried 10 times a minute from one address, however many tries are concurrent", async () => {
    const [name, { address }] = [newName(), new Browser()];
    const tries = Array.from({ length: 100 }, () => reserveLogin(bindings, limits, name, { address }));
    expect((await Promise.all(tries)).filter(({ kind }) => kind === "go")).toHaveLength(10);
  });

  it("can be tried 10 times a minute from one IPv6 network of 48 bits, whatever its addresses", async () => {
    const allowed = await guess(newName(), 40, (index) => ({ address: `2001:db8:9:${index.toString(16)}::1` }));
    expect(allowed).toBe(10);
  });

  it("under attack accepts logins from a device that has logged in before, and from no other", async () => {
    const [name, owner] = [newName(), new Browser()];
    await owner.signUp(name);
    await owner.submit("/logout", {});
    await attack(name);
    const stranger = await new Browser().logIn(name);
    expect(stranger.status).toBe(429);
    expect((await owner.logIn(name)).status).toBe(303);
    // The login gave it a new cookie, which serves as well.
    expect((await owner.logIn(name)).status).toBe(303);
  });

  it("can be tried 10 times a minute from a known device", async () => {
    expect(await guess(newName(), 30, () => ({ address: "192.0.2.1", device: "kim's phone" }))).toBe(10);
  });

  it("can be tried again a minute later, and not before", async () => {
    const name = newName();
    await attack(name);
    const verdict = await reserveLogin(bindings, limits, name, { address: "192.0.2.9" });
    expect(verdict).toMatchObject({ kind: "wait", seconds: expect.any(Number) });
    await age(name, 30_000);
    expect(await guess(name, 1, () => ({ address: "192.0.2.9" }))).toBe(0);
    await age(name, 30_000);
    expect(await guess(name, 1, () => ({ address: "192.0.2.9" }))).toBe(1);
  });

  it("tells a client that tries too often when to try again", async () => {
    const [name, browser] = [newName(), new Browser()];
    await attack(name);
    const response = await browser.logIn(name);
    const seconds = Number(response.headers.get("Retry-After"));
    expect(response.status).toBe(429);
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(await response.text()).toContain(`Try again in ${seconds} seconds`);
  });
});

describe("a device cookie", () => {
  it("is HttpOnly, lasts a year, and names neither the account nor the session", async () => {
    const [name, browser] = [newName(), new Browser()];
    const response = await browser.signUp(name);
    const set = response.headers.getSetCookie().find((cookie) => cookie.startsWith("__Host-device="));
    expect(set).toMatch(
      /^__Host-device=[\w-]{22}\.\d+\.[\w-]{43}; Max-Age=31536000; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    );
    expect(set).not.toContain(name);
    const before = browser.device;
    await browser.logIn(name);
    expect(browser.device).not.toBe(before);
    expect(browser.device?.split("~")).toHaveLength(1);
  });

  it("is not set after a wrong password", async () => {
    const [name, browser] = [newName(), new Browser()];
    await new Browser().signUp(name);
    await browser.logIn(name, "wrong password");
    expect(browser.device).toBeUndefined();
  });

  it("counts for nothing if it is another account's, changed, expired or malformed", async () => {
    const [name, owner, other] = [newName(), new Browser(), new Browser()];
    await owner.signUp(name);
    await other.signUp(newName());
    await attack(name);
    const [id = "", issued = "", mac = ""] = (owner.device ?? "").split(".");
    const forged = [
      other.device,
      `${id}.${Number(issued) + 1}.${mac}`,
      `${id.slice(1)}A.${issued}.${mac}`,
      `${id}.${issued}.${"A".repeat(43)}`,
      `${id}.1.${mac}`,
      "~~~",
      `${"~".repeat(5)}${owner.device}`,
      "x".repeat(4000),
    ];
    for (const device of forged) {
      const thief = new Browser();
      thief.device = device;
      expect([device, (await thief.logIn(name)).status]).toEqual([device, 429]);
    }
  });

  it("counts for nothing after a change of the password, unless the owner's browser got a new one", async () => {
    const [name, owner, thief] = [newName(), new Browser(), new Browser()];
    await owner.signUp(name);
    await thief.logIn(name);
    const password = "staple horse battery";
    const changed = await owner.submit("/me/password", { current: PASSWORD, password, again: password });
    expect([changed.status, owner.device?.split("~").length]).toEqual([303, 1]);
    await attack(name);
    expect((await thief.logIn(name, "a guess of his")).status).toBe(429);
    expect((await owner.logIn(name, password)).status).toBe(303);
  });

  it("counts for nothing if it belongs to a deleted account of the same name", async () => {
    const [name, squatter, owner] = [newName(), new Browser(), new Browser()];
    await squatter.signUp(name);
    const { device } = squatter;
    expect((await squatter.submit("/me/delete", { password: PASSWORD })).status).toBe(200);
    await owner.signUp(name);
    await attack(name);
    squatter.device = device;
    expect((await squatter.logIn(name, "a guess of his")).status).toBe(429);
    expect((await owner.logIn(name)).status).toBe(303);
  });

  it("has the four accounts that logged in last on a shared browser", async () => {
    const [browser, names] = [new Browser(), Array.from({ length: 5 }, newName)];
    for (const name of names) await browser.signUp(name);
    expect(browser.device?.split("~")).toHaveLength(4);
    const [first = "", second = ""] = names;
    await attack(first);
    await attack(second);
    expect((await browser.logIn(first)).status).toBe(429);
    expect((await browser.logIn(second)).status).toBe(303);
  });
});

describe("an address", () => {
  it("has 60 failures a minute, over all names", async () => {
    const { address } = new Browser();
    const tries = Array.from({ length: 80 }, () => reserveLogin(bindings, limits, newName(), { address }));
    expect(await countWrong(tries)).toBe(60);
  });

  it("shares the failures of its IPv6 network of 48 bits", async () => {
    expect(limits.failuresPerNetwork).toBe(240);
    const fewer = { ...limits, failuresPerNetwork: 24 };
    const tries = Array.from({ length: 30 }, (_, index) =>
      reserveLogin(bindings, fewer, newName(), { address: `2001:db8:77:${index.toString(16)}::1` }),
    );
    expect(await countWrong(tries)).toBe(24);
  });

  it("can log in 200 players within a minute, because successes do not count", async () => {
    const { address } = new Browser();
    for (let group = 0; group < 4; group++) {
      const players = Array.from({ length: 50 }, () => reserveLogin(bindings, limits, newName(), { address }));
      const attempts = await Promise.all(players);
      expect(attempts.filter(({ kind }) => kind === "wait")).toEqual([]);
      await Promise.all(attempts.map((attempt) => attempt.kind === "go" && attempt.release()));
    }
  });

  it("waits 2 s, and not a minute, while the passwords of 60 others are compared", async () => {
    const { address } = new Browser();
    const begin = () => reserveLogin(bindings, limits, newName(), { address });
    const attempts = await Promise.all(Array.from({ length: 60 }, begin));
    expect(await begin()).toEqual({ kind: "wait", seconds: 2 });
    await countWrong(attempts.map((attempt) => Promise.resolve(attempt)));
    const verdict = await begin();
    expect(verdict).toMatchObject({ kind: "wait", seconds: expect.any(Number) });
    // What it has cost to get here has passed of the minute.
    expect(verdict.kind === "wait" && verdict.seconds).toBeGreaterThan(30);
  });

  it("can sign up 60 accounts a minute", async () => {
    const { address } = new Browser();
    const signups = await Promise.all(Array.from({ length: 61 }, () => reserveSignup(bindings, limits, address)));
    expect(signups.map(({ kind }) => kind).toSorted()).toEqual([...Array(60).fill("go"), "wait"]);
  });
});

/** Makes what was tried at a name so much older. */
async function age(name: string, ms: number): Promise<void> {
  const guard = bindings.LOGIN_GUARD.getByName(await guardName(["account", name]));
  await runInDurableObject(guard, (_, { storage }) => storage.sql.exec("UPDATE tries SET at = at - ?", ms));
}
