import { describe, expect, it } from "vitest";
import { isLoopbackHost } from "../../config/loopback.ts";

describe("isLoopbackHost", () => {
  it.each([
    "localhost",
    "LOCALHOST",
    "127.0.0.1",
    "127.255.0.9",
    "::1",
    "[::1]",
    "::ffff:127.0.0.1",
    new URL("http://[::ffff:127.0.0.1]/").hostname,
    new URL("http://127.1/").hostname,
  ])("%s reaches this machine only", (host) => {
    expect(isLoopbackHost(host)).toBe(true);
  });

  it.each([
    ...["", "0.0.0.0", "::", "*", "10.0.0.5", "192.168.1.1", "128.0.0.1", "example.com", "2001:db8::1", "[::]"],
    ...["127.0.0.1.example.com", "localhost.example.com", "127.0.0.256", "127.0.0", "::ffff:10.0.0.1", "::2", "[::1"],
  ])("%j may reach others", (host) => {
    expect(isLoopbackHost(host)).toBe(false);
  });
});
