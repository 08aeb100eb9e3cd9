import { describe, expect, it } from "vitest";
import { PlayerAddress } from "../../../tcp-bridge/player/player-limits.ts";

const MINUTE_MS = 60_000;
const NOW_MS = 1_000_000;

/** An address, and the names of the Joins that were asked, in order. */
function makeAddress(maxFailedJoinsPerMinute: number, maxAskedJoinsPerAddress: number) {
  const asked: string[] = [];
  const address = new PlayerAddress({ maxFailedJoinsPerMinute, maxAskedJoinsPerAddress });
  const join = (name: string, nowMs = NOW_MS): (() => void) => {
    const ask = (): void => {
      asked.push(name);
    };
    address.join(ask, nowMs);
    return ask;
  };
  return { address, asked, join };
}

describe("PlayerAddress", () => {
  it("requests all Joins at once until too many have failed, and again after the minute", () => {
    const { address, asked, join } = makeAddress(2, 1);
    for (const name of ["a", "b", "c"]) join(name);
    address.failed(NOW_MS);
    expect(address.isSuspect(NOW_MS)).toBe(false);
    address.failed(NOW_MS + 30_000);
    expect(address.isSuspect(NOW_MS + 30_000)).toBe(true);
    join("d", NOW_MS + 30_000);
    expect(asked).toEqual(["a", "b", "c"]);
    address.joinEnded(NOW_MS + MINUTE_MS);
    expect(address.isSuspect(NOW_MS + MINUTE_MS)).toBe(false);
    expect(asked).toEqual(["a", "b", "c", "d"]);
  });

  it("queues the Joins of a suspect address, requests the newest first, and none that was given up", () => {
    const { address, asked, join } = makeAddress(1, 2);
    address.failed(NOW_MS);
    for (const name of ["a", "b", "c", "d"]) join(name);
    const givenUp = join("e");
    join("f");
    expect(asked).toEqual(["a", "b"]);
    address.giveUp(givenUp);
    for (let ended = 0; ended < 4; ended++) address.joinEnded(NOW_MS);
    expect(asked).toEqual(["a", "b", "f", "d", "c"]);
  });

  it("is not idle with a connection, a Join in flight, or a failure in this minute", () => {
    const { address, join } = makeAddress(1, 1);
    expect(address.isIdle(NOW_MS)).toBe(true);
    address.connected();
    expect(address.isIdle(NOW_MS)).toBe(false);
    join("a");
    address.disconnected();
    expect(address.isIdle(NOW_MS)).toBe(false);
    address.joinEnded(NOW_MS);
    expect(address.isIdle(NOW_MS)).toBe(true);
    address.failed(NOW_MS);
    expect(address.isIdle(NOW_MS + MINUTE_MS - 1)).toBe(false);
    expect(address.isIdle(NOW_MS + MINUTE_MS)).toBe(true);
  });
});
