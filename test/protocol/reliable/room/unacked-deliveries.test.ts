import { describe, expect, it } from "vitest";
import { RunPlaces, UnackedDeliveries } from "../../../../protocol/reliable/room/room-log.ts";

/** A run of entries with these offsets; the entry with offset n has n bytes. */
function runOf(...offsets: number[]): RunPlaces {
  const places = new RunPlaces();
  let end = 0;
  for (const offset of offsets) {
    end += offset;
    places.add(offset, end);
  }
  return places;
}

describe("UnackedDeliveries", () => {
  it("counts the bytes that were sent and not acked, whichever parts of runs they were", () => {
    const unacked = new UnackedDeliveries();
    const [one, two] = [runOf(1, 2, 3, 4), runOf(5, 6, 7)];
    for (const index of [0, 1, 3]) unacked.add(one, index);
    for (const index of [0, 1, 2]) unacked.add(two, index);
    expect(unacked.bytes).toBe(25);
    const after = (position: number) => {
      unacked.ack(position);
      return unacked.bytes;
    };
    expect([0, 1, 3, 5, 5, 6].map(after)).toEqual([25, 24, 22, 13, 13, 7]);
    unacked.add(runOf(8), 0);
    expect([7, 100].map(after)).toEqual([8, 0]);
  });
});
