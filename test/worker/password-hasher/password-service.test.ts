import { describe, expect, it } from "vitest";
import { CURRENT_COST, hashPassword, verifyPassword } from "../../../worker/password-hasher/password-service.ts";

const CHEAP = { log2N: 4, r: 8, p: 1 };

/** RFC 7914 §12: scrypt("pleaseletmein", "SodiumChloride", N=16384, r=8, p=1), its first 32 bytes. */
const RFC_7914 = "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI";

describe("a password's hash", () => {
  it("names its parameters, and has another salt each time", async () => {
    const hash = await hashPassword("pleaseletmein");
    expect(hash).toMatch(/^\$scrypt\$ln=14,r=8,p=5\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(await hashPassword("pleaseletmein")).not.toBe(hash);
    expect(await verifyPassword("pleaseletmein", hash)).toEqual({ matches: true, outdated: false });
    expect(await verifyPassword("pleaseletmeout", hash)).toEqual({ matches: false, outdated: false });
  });

  it("is the scrypt of RFC 7914", async () => {
    expect(await verifyPassword("pleaseletmein", RFC_7914)).toEqual({ matches: true, outdated: true });
    expect(await verifyPassword("pleaseletmeiN", RFC_7914)).toMatchObject({ matches: false });
  });

  it("is outdated when its parameters are not today's", async () => {
    const hash = await hashPassword("pw", CHEAP);
    expect(hash).toContain("$ln=4,r=8,p=1$");
    expect(await verifyPassword("pw", hash)).toEqual({ matches: true, outdated: true });
  });

  it("is the same for a composed and a decomposed character", async () => {
    const hash = await hashPassword("caf\u00e9 한글", CHEAP);
    expect(await verifyPassword("cafe\u0301 한글".normalize("NFD"), hash)).toMatchObject({ matches: true });
  });

  it.each([undefined, "", "plain text", "$scrypt$ln=14,r=8,p=5$AAAA$AAAA"])("never matches %j", async (phc) => {
    expect(await verifyPassword("", phc)).toMatchObject({ matches: false });
  });

  it("has OWASP's parameters", () => {
    expect(CURRENT_COST).toEqual({ log2N: 14, r: 8, p: 5 });
  });
});
