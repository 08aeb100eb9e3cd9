import { beforeAll, describe, expect, it } from "vitest";
import { mayTryPassword } from "../../../worker/browser/login-limit.ts";
import { Browser, bindings, migrateAccounts, newName } from "./browser.ts";

beforeAll(migrateAccounts);

/** How many of so many tries were let through. */
async function allowedOf(tries: number, attempt: (index: number) => [name: string, address: string]): Promise<number> {
  let allowed = 0;
  for (let index = 0; index < tries; index++) {
    if (await mayTryPassword(bindings, ...attempt(index))) allowed++;
  }
  return allowed;
}

describe("passwords to try", () => {
  it("for one user from one address are ten a minute, of 1,000 wrong ones", async () => {
    const [name, { address }] = [newName(), new Browser()];
    const allowed = await allowedOf(1000, () => [name, address]);
    // A new minute may begin meanwhile.
    expect([10, 20]).toContain(allowed);
  });

  it("for many users from one address are sixty a minute", async () => {
    const { address } = new Browser();
    expect([60, 120]).toContain(await allowedOf(300, () => [newName(), address]));
  });

  it("count an IPv6 network as one address", async () => {
    const name = newName();
    const allowed = await allowedOf(40, (index) => [name, `2001:db8:0:7::${index.toString(16)}`]);
    expect([10, 20]).toContain(allowed);
  });

  it("never keep the owner out, however many addresses try his name", async () => {
    const [name, owner] = [newName(), new Browser()];
    await owner.signUp(name);
    for (let index = 0; index < 100; index++) await mayTryPassword(bindings, name, `192.0.2.${index}`);
    expect((await owner.logIn(name)).status).toBe(303);
  });

  it("leave a guesser at many addresses one try at each", async () => {
    const name = newName();
    for (let index = 0; index < 60; index++) await mayTryPassword(bindings, name, `198.51.100.${index}`);
    const allowed = await allowedOf(20, () => [name, "203.0.113.7"]);
    // A new minute gives the user's thirty back.
    expect([1, 10, 11]).toContain(allowed);
  });

  it("beyond the limit are answered with 429, and how long to wait", async () => {
    const [name, browser] = [newName(), new Browser()];
    await browser.signUp(name);
    let response = await browser.logIn(name, "wrong password");
    // A new minute may begin between two tries, hardly between all of them.
    for (let index = 0; response.status !== 429 && index < 25; index++) {
      response = await browser.logIn(name, "wrong password");
    }
    expect([response.status, response.headers.get("Retry-After")]).toEqual([429, "60"]);
    expect(await response.text()).toContain("Wait a minute");
    expect((await new Browser().logIn(name)).status).toBe(303);
  });
});
