import fc from "fast-check";
import { expect, it } from "vitest";
import { WATCH_REQUEST_TYPE } from "../../../protocol/service-packets.ts";
import { PacketInbox } from "../../../tcp-bridge/edge/batch.ts";
import { PacketBytes } from "../../support/packets/packet-bytes.ts";

const packet = fc
  .tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 20 }))
  .map(([payloadBytes, type]) => new PacketBytes().bytes(new Uint8Array(payloadBytes)).packet(type));
const runs = fc.array(fc.array(packet, { minLength: 1, maxLength: 8 }), { maxLength: 8 });

function fill(inbox: PacketInbox, packets: readonly (readonly Uint8Array[])[]): void {
  for (const [index, run] of packets.entries()) inbox.push(Buffer.concat(run), run.length, index);
}

it("PacketInbox returns all packets in order, and at most as many as both bounds allow", () => {
  fc.assert(
    fc.property(
      runs,
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 204, max: 900 }),
      (all, maxPackets, maxBytes) => {
        const inbox = new PacketInbox();
        fill(inbox, all);
        const taken: Uint8Array[] = [];
        let left = all.flat().length;
        while (inbox.packets > 0) {
          let bytes = 0;
          let counted = 0;
          const count = inbox.take(maxPackets, maxBytes, (run, packets) => {
            taken.push(run);
            bytes += run.byteLength;
            counted += packets;
          });
          // A packet has 204 bytes at most, so one always fits.
          expect(count).toBeGreaterThan(0);
          expect(count).toBe(counted);
          expect(count).toBeLessThanOrEqual(maxPackets);
          expect(bytes).toBeLessThanOrEqual(maxBytes);
          left -= count;
          expect(inbox.packets).toBe(left);
        }
        expect(Buffer.concat(taken)).toEqual(Buffer.concat(all.flat()));
      },
    ),
  );
});

it("PacketInbox returns the packets that were received before a time, up to a WatchRequest, and keeps the others", () => {
  fc.assert(
    fc.property(runs, fc.integer({ min: 0, max: 9 }), (all, beforeMs) => {
      const inbox = new PacketInbox();
      fill(inbox, all);
      const old: Uint8Array[] = [];
      inbox.takeOlder(beforeMs, (bytes) => old.push(bytes));
      const older = all.slice(0, beforeMs).flat();
      const watch = older.findIndex((bytes) => bytes[2] === WATCH_REQUEST_TYPE);
      const expected = watch === -1 ? older : older.slice(0, watch);
      expect(Buffer.concat(old)).toEqual(Buffer.concat(expected));
      expect(inbox.packets).toBe(all.flat().length - expected.length);
      if (watch !== -1) expect(Buffer.from(inbox.next)).toEqual(Buffer.from(older[watch] ?? []));
    }),
  );
});

it("PacketInbox counts the packets of accepted types at its front", () => {
  fc.assert(
    fc.property(runs, fc.integer({ min: 0, max: 70 }), (all, maxPackets) => {
      const inbox = new PacketInbox();
      fill(inbox, all);
      const types = all.flat().map((bytes) => bytes[2] ?? 0);
      const firstOther = types.findIndex((type) => type >= 15);
      const expected = Math.min(maxPackets, firstOther === -1 ? types.length : firstOther);
      expect(inbox.leading(maxPackets, (type) => type < 15)).toBe(expected);
    }),
  );
});

it("PacketInbox returns all packets if they are adjacent, and none otherwise", () => {
  fc.assert(
    fc.property(runs, fc.integer({ min: 0, max: 9 }), (all, takenBefore) => {
      const inbox = new PacketInbox();
      fill(inbox, all);
      const left = all.flat().slice(inbox.take(takenBefore, Number.POSITIVE_INFINITY, () => undefined));
      const isAdjacent = left.length > 0 && left.length <= (all.at(-1)?.length ?? 0);
      const taken = inbox.takeAdjacent();
      expect(taken?.packets).toBe(isAdjacent ? left.length : undefined);
      if (taken !== undefined) expect(Buffer.from(taken.bytes)).toEqual(Buffer.concat(left));
      expect(inbox.packets).toBe(isAdjacent ? 0 : left.length);
    }),
  );
});
