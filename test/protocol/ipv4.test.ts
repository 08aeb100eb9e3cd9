import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ipv4FromInt, ipv4ToInt } from "../../protocol/service-packets.ts";

describe("ipv4", () => {
  it("puts the first octet into the most significant byte", () => {
    expect(ipv4ToInt("192.168.0.1") >>> 0).toBe(0xc0a80001);
    expect(ipv4FromInt(0xc0a80001 | 0)).toBe("192.168.0.1");
    expect(ipv4ToInt("255.255.255.255")).toBe(-1);
  });

  it("takes 0 for unknown", () => {
    expect(ipv4FromInt(0)).toBeNull();
    expect(ipv4ToInt(null)).toBe(0);
  });

  it.each(["2001:db8::1", "::ffff:10.0.0.1", "10.0.0", "10.0.0.0.1", "10.0.0.256", "10.0.0.x", "1e1.0.0.1", ""])(
    "has no wire form for %j",
    (address) => {
      expect(ipv4ToInt(address)).toBe(0);
    },
  );

  it("reads every address that it wrote", () => {
    fc.assert(fc.property(fc.ipV4(), (address) => (ipv4FromInt(ipv4ToInt(address)) ?? "0.0.0.0") === address));
  });
});
