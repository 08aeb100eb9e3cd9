import { describe, expect, it } from "vitest";
import { AddressBook, addressKey, FailureWindow } from "../../../tcp-bridge/core/admission.ts";
import { addressKey as addressKeyOfWorker } from "../../../worker/http/client-address.ts";

class Note {
  idle = false;
  isIdle(): boolean {
    return this.idle;
  }
}

describe("addressKey", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:DB8:1:2::1", "2001:db8:1:2"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["::1", "0:0:0:0"],
  ])("maps %s to %s, as the worker does", async (address, key) => {
    expect(addressKey(address)).toBe(key);
    expect(await addressKeyOfWorker(address)).toBe(key);
  });

  it("has one key for all peers without an address", () => {
    expect(addressKey(undefined)).toBe("unknown");
    expect(addressKey("no address")).toBe("unknown");
    expect(addressKey("fe80::1%eth0")).toBe("fe80:0:0:0");
  });
});

describe("AddressBook", () => {
  it("keeps records that are not idle, and lets further addresses share records when it is full", () => {
    const book = new AddressBook(() => new Note(), 100);
    const counted = book.of("192.0.2.1", 0);
    const others = Array.from({ length: 20_000 }, (_, index) => book.of(`10.0.${index >> 8}.${index & 255}`, 0));
    expect(book.size).toBe(100);
    expect(book.of("192.0.2.1", 0)).toBe(counted);
    expect(new Set(others).size).toBeLessThanOrEqual(99 + 1024);
    expect(book.of("10.0.78.31", 0)).toBe(others.at(-1));
  });

  it("drops idle records before it is full", () => {
    const book = new AddressBook(() => new Note(), 100);
    const kept = book.of("192.0.2.1", 0);
    for (let index = 0; index < 20_000; index++) book.of(`10.0.${index >> 8}.${index & 255}`, 0).idle = true;
    expect(book.size).toBeLessThan(5);
    expect(book.of("192.0.2.1", 0)).toBe(kept);
  });
});

const MINUTE_MS = 60_000;

it("FailureWindow counts failures for one minute from the first one", () => {
  const window = new FailureWindow(2);
  const startMs = 1_000_000;
  window.count(1, startMs);
  window.count(1, startMs + MINUTE_MS - 1);
  expect(window.allowance(startMs + MINUTE_MS - 1)).toBe(0);
  expect(window.allowance(startMs + MINUTE_MS)).toBe(2);
  window.count(1, startMs + MINUTE_MS);
  expect(window.allowance(startMs + 2 * MINUTE_MS - 1)).toBe(1);
  expect(window.failures(startMs + 2 * MINUTE_MS - 1)).toBe(1);
  expect(window.allowance(startMs + 2 * MINUTE_MS)).toBe(2);
});
