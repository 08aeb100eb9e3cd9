import { Hono } from "hono";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { AddressRanges } from "../../../config/address-ranges.ts";
import { addressKey, clientAddress, networkKey } from "../../../worker/http/client-address.ts";

describe("the address of a client", () => {
  const trustedProxies = v.parse(AddressRanges, "10.0.0.1, 10.0.0.2");
  const app = new Hono().get("/", (c) => c.json(clientAddress(c, { trustedProxies })));

  it.each([
    ["the peer", "192.0.2.1", undefined, "192.0.2.1"],
    ["the peer, whatever it forwards", "192.0.2.1", "203.0.113.9", "192.0.2.1"],
    ["what a trusted proxy forwards", "10.0.0.1", "203.0.113.9", "203.0.113.9"],
    ["what the trusted proxy appends to what a client sent", "10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"],
    [
      "what the first of two trusted proxies forwards",
      "10.0.0.1",
      "6.6.6.6, 2001:db8::7, 10.0.0.2, 10.0.0.1",
      "2001:db8::7",
    ],
    ["unknown if a trusted proxy forwards none", "10.0.0.1", undefined, null],
    ["unknown if it is no IP address", "10.0.0.1", "<script>", null],
    ["unknown without a header", undefined, undefined, null],
  ])("is %s", async (_, connected, forwarded, address) => {
    const headers = new Headers();
    if (connected !== undefined) headers.set("CF-Connecting-IP", connected);
    if (forwarded !== undefined) headers.set("X-Forwarded-For", forwarded);
    expect(await (await app.request("/", { headers })).json()).toBe(address);
  });
});

describe("the address of a client of a self-hosted edge", () => {
  const trustedProxies = v.parse(AddressRanges, "10.0.0.0/24, ::1");
  const app = new Hono().get("/", (c) => c.json(clientAddress(c, { trustedProxies })));

  it.each([
    ["the peer", "192.0.2.1:4711", "192.0.2.1"],
    ["the IPv6 peer", "[2001:db8::7]:4711", "2001:db8::7"],
    ["what a trusted proxy forwards", "10.0.0.1:4711", "203.0.113.9"],
    ["what a trusted IPv6 proxy forwards", "[::1]:4711", "203.0.113.9"],
    ["unknown on a Unix socket", "unix:/run/edge.sock", null],
  ])("is %s, whatever CF-Connecting-IP says", async (_, clientIp, address) => {
    const headers = { "CF-Connecting-IP": "198.51.100.1", "X-Forwarded-For": "6.6.6.6, 203.0.113.9" };
    const request = new Request("http://edge.test/", { headers, cf: { clientIp } as Record<string, string> });
    expect(await (await app.fetch(request)).json()).toBe(address);
  });
});

describe("the key under which limits count an address", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:DB8:0001:0002::", "2001:db8:1:2"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["2001:db8:1:2:3::6", "2001:db8:1:2"],
    ["::1", "0:0:0:0"],
    ["fe80::1:2:3:4", "fe80:0:0:0"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["64:ff9b::192.0.2.1", "64:ff9b:0:0"],
    [null, "unknown"],
  ])("is for %s %s", async (address, key) => {
    expect(await addressKey(address)).toBe(key);
  });
});

it.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:7:8:9::1", "2001:db8:7::/48"],
  ["2001:0DB8:0007:ffff::", "2001:db8:7::/48"],
  ["::1", "0:0:0::/48"],
  [null, "unknown"],
])("the key of the network of %s is %s", async (address, key) => {
  expect(await networkKey(address)).toBe(key);
});
