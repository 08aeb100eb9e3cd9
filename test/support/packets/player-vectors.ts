import { readFileSync } from "node:fs";
import type { PlayerPacket, Presence } from "../../../protocol/player-packets.ts";
import { fromHex } from "./packet-bytes.ts";

/** One packet of test/vectors/player-packets.json. */
export interface PlayerVector {
  readonly packet: string;
  readonly hex: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

const { packets } = JSON.parse(readFileSync(new URL("../../vectors/player-packets.json", import.meta.url), "utf8")) as {
  packets: PlayerVector[];
};

export const playerVectors: readonly PlayerVector[] = packets;

/** The value that a vector's bytes stand for: byte fields come as hex, the wire's `id` is the value's `user`. */
export function packetOfVector({ packet, fields }: PlayerVector): PlayerPacket {
  const number = (name: string): number => Number(fields[name]);
  const text = (name: string): string => String(fields[name]);
  const body = () => fromHex(text("body"));
  switch (packet) {
    case "Join": {
      const position = { epoch: number("epoch"), delivered: number("delivered"), attempt: number("attempt") };
      return { kind: "join", token: fromHex(text("token")), room: text("room"), ...position };
    }
    case "Joined":
      return {
        kind: "joined",
        resumed: number("resumed") === 1,
        member: number("member"),
        epoch: number("epoch"),
        offset: number("offset"),
        received: number("received"),
        retentionSeconds: number("retentionSeconds"),
        heartbeatSeconds: number("heartbeatSeconds"),
      };
    case "Publish":
      return { kind: "publish", seq: number("seq"), to: number("to"), body: body() };
    case "Deliver":
      return { kind: "deliver", offset: number("offset"), from: number("from"), to: number("to"), body: body() };
    case "Datagram":
      return { kind: "datagram", member: number("member"), body: body() };
    case "Ack":
      return { kind: "ack", position: number("position") };
    case "Ping":
      return { kind: "ping", nonce: number("nonce") };
    case "Pong":
      return { kind: "pong", nonce: number("nonce") };
    case "Leave":
      return { kind: "leave" };
    case "Closed":
      return { kind: "closed", code: number("code"), message: text("message") };
    case "Presence": {
      const state = number("state") as Presence;
      return { kind: "presence", offset: number("offset"), member: number("member"), state, user: text("id") };
    }
    case "Gap":
      return { kind: "gap", from: number("from"), to: number("to") };
    default:
      throw new Error(`no such packet: ${packet}`);
  }
}
