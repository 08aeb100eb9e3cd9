import * as v from "valibot";
import { describe, expect, it, test } from "vitest";
import { AddressRanges, isInRanges } from "../../config/address-ranges.ts";

const ranges = (text: string) => v.parse(AddressRanges, text);

describe("a list of addresses and networks", () => {
  test.each([
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["10.1.2.3/8", "10.255.0.1", true],
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["192.0.2.1 , 2001:db8::/32", "2001:db8:ffff::1", true],
    ["2001:db8::/32", "2001:db9::1", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "203.0.113.9", false],
    ["10.0.0.0/8", "::ffff:10.0.0.1", true],
    ["10.0.0.0/8", "::ffff:a00:1", true],
    ["::ffff:10.0.0.0/104", "10.9.9.9", true],
    ["::ffff:10.0.0.1", "10.0.0.1", true],
    ["fe80::/10", "fe80::1%eth0", true],
    ["fe80::1", "fe80::1%3", true],
    ["", "10.0.0.1", false],
    ["0.0.0.0/0, ::/0", "not an address", false],
    ["0.0.0.0/0, ::/0", "", false],
    ["0.0.0.0/0", "10.1", false],
  ])("%j has %s: %s", (list, address, expected) => {
    expect(isInRanges(address, ranges(list))).toBe(expected);
  });

  it.each([
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "10.0.0.0/08x",
    "10.1/16",
    "010.0.0.1",
    "::1/129",
    "fe80::1%eth0",
    "proxy.example",
    "10.0.0.1;10.0.0.2",
    "*",
  ])("refuses %j", (list) => {
    expect(() => ranges(list)).toThrow("allowed are IPv4 and IPv6 addresses and networks");
  });
});
