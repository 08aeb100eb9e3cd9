import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatToken, makeToken, parseToken, splitToken } from "../../protocol/session-token.ts";
import { fromHex, toHex } from "../support/packets/packet-bytes.ts";
import { bytesOf } from "../support/packets/service-arbitraries.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

describe("session tokens", () => {
  it("consist of the sessid, little-endian, and the secret", () => {
    const token = makeToken(-2, fromHex("00112233445566778899aabbccddeeff"));
    expect(toHex(token)).toBe("feffffff00112233445566778899aabbccddeeff");
    expect(splitToken(token)).toEqual({ sessid: -2, secret: fromHex("00112233445566778899aabbccddeeff") });
  });

  it("are split into copies that do not keep a pooled Buffer in memory", () => {
    const { secret } = splitToken(Buffer.from(makeToken(7, new Uint8Array(16).fill(9))));
    expect(secret.buffer.byteLength).toBe(16);
    expect(secret.every((byte) => byte === 9)).toBe(true);
  });

  it("are formatted as base64url without padding", () => {
    fc.assert(fc.property(bytesOf(20), (token) => formatToken(token) === Buffer.from(token).toString("base64url")));
  });

  it("are parsed to what was formatted", () => {
    fc.assert(fc.property(bytesOf(20), (token) => toHex(parseToken(formatToken(token)) ?? []) === toHex(token)));
  });

  it("have one spelling: with another last character the text is no token", () => {
    const text = formatToken(fromHex("0102030405060708090a0b0c0d0e0f1011121314"));
    const spellings = [...ALPHABET].map((last) => text.slice(0, -1) + last);
    const read = spellings.filter((spelling) => parseToken(spelling) !== undefined);
    // 64 last characters carry 4 bits of the token: 16 tokens, one spelling each.
    expect(read).toHaveLength(16);
    expect(read.map((spelling) => formatToken(parseToken(spelling) ?? new Uint8Array()))).toEqual(read);
  });

  it.each(["", "A".repeat(26), "A".repeat(28), `${"A".repeat(26)}=`, `${"A".repeat(26)}+`, ` ${"A".repeat(26)}`])(
    "are not parsed from %j",
    (text) => {
      expect(parseToken(text)).toBeUndefined();
    },
  );

  it("are not parsed from text with other characters than the alphabet's, astral ones included", () => {
    expect(parseToken(`${"A".repeat(25)}\u{1f600}`)).toBeUndefined();
    expect(parseToken(`${"A".repeat(26)}/`)).toBeUndefined();
  });
});
