import fc from "fast-check";
import { type PlayerPacket, Presence } from "../../../protocol/player-packets.ts";
import { bytesOf, utf8Text } from "./service-arbitraries.ts";

const u64 = fc.maxSafeNat();
const u32 = fc.nat({ max: 2 ** 32 - 1 });
const u16 = fc.nat({ max: 2 ** 16 - 1 });
const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const body = fc.uint8Array({ maxLength: 300 }).map((bytes) => Uint8Array.from(bytes));
const room = fc.stringMatching(/^[A-Za-z0-9_.-]{1,64}$/).filter((name) => name !== "." && name !== "..");
const gap = fc.tuple(u64, u64).map(([a, b]) => ({ kind: "gap" as const, from: Math.min(a, b), to: Math.max(a, b) }));

/** Any packet that a player or a room may send. */
export const playerPackets: fc.Arbitrary<PlayerPacket> = fc.oneof(
  fc.record({ kind: fc.constant("join" as const), token: bytesOf(20), room, epoch: u64, delivered: u64, attempt: u32 }),
  fc.record({
    kind: fc.constant("joined" as const),
    resumed: fc.boolean(),
    member: u32,
    epoch: u64,
    offset: u64,
    received: u64,
    retentionSeconds: u16,
    heartbeatSeconds: u16,
  }),
  fc.record({ kind: fc.constant("publish" as const), seq: positive, to: u32, body }),
  fc.record({ kind: fc.constant("deliver" as const), offset: positive, from: u32, to: u32, body }),
  fc.record({ kind: fc.constant("datagram" as const), member: u32, body }),
  fc.record({ kind: fc.constant("ack" as const), position: u64 }),
  fc.record({ kind: fc.constantFrom("ping" as const, "pong" as const), nonce: u32 }),
  fc.record({ kind: fc.constant("leave" as const) }),
  fc.record({ kind: fc.constant("closed" as const), code: u16, message: utf8Text(0, 100) }),
  fc.record({
    kind: fc.constant("presence" as const),
    offset: u64,
    member: u32,
    state: fc.constantFrom(...Object.values(Presence)),
    user: utf8Text(1, 128),
  }),
  gap,
);
