import { ByteReader, ByteWriter } from "../packet-fields.ts";
import { ProtocolError } from "../packet-framing.ts";

/**
 * The messages between the hub and a bridge, over the WebSocket `/v1/leases` (docs/wire-protocol.md, "Leases"). One binary frame
 * is one message: `type u8`, then its fields, little-endian.
 */
export type LeaseMessage = HubMessage | BridgeMessage;

/** The messages that the hub may send. */
export type HubMessage = Welcome | Changes | Reset | Granted | StatusRequest;

/** The messages that a bridge may send. */
export type BridgeMessage = Renew | Ack | StatusReport;

/** The first message of a connection. */
export interface Welcome {
  readonly kind: "welcome";
  /** REVOCATION_BOUND_MS of the edge: {@link MIN_BOUND_MS}..{@link MAX_BOUND_MS}. */
  readonly boundMs: number;
}

/** These sessions have ended or changed: the bridge forgets them, and then acks the number. */
export interface Changes {
  readonly kind: "changes";
  /** Changes and Resets are numbered together, 1, 2, 3, ... for each connection; 0 follows 2^32-1. */
  readonly number: number;
  /** At most {@link MAX_CHANGED_SESSIDS}, none of them 0. Without any, the hub only wants to know that the bridge reads. */
  readonly sessids: readonly number[];
}

/** Any session may have ended or changed: the bridge forgets all, and then acks the number. */
export interface Reset {
  readonly kind: "reset";
  readonly number: number;
}

/** The bridge has a lease, counted from when it sent this renewal. All changes before the lease were sent before this message. */
export interface Granted {
  readonly kind: "granted";
  readonly renewal: number;
}

/** Asks a bridge that has announced its version (BRIDGE_HEADER of versions.ts) for one StatusReport. */
export interface StatusRequest {
  readonly kind: "statusRequest";
}

/** Asks for a lease. The bridge numbers its renewals 1, 2, 3, ... for each connection; 0 follows 2^32-1. */
export interface Renew {
  readonly kind: "renew";
  readonly renewal: number;
}

/** The bridge has forgotten what all Changes and Resets up to this number are about. */
export interface Ack {
  readonly kind: "ack";
  readonly number: number;
}

/** What a bridge does, as it says itself. */
export interface StatusReport {
  readonly kind: "status";
  /** Sessions that it keeps now. */
  readonly kept: number;
  /** Checks that it has answered since its start, and how many of them from memory: 0..2^53-1. */
  readonly answered: number;
  readonly fromMemory: number;
}

/** REVOCATION_BOUND_MS, the least and the most. */
export const MIN_BOUND_MS = 200;
export const MAX_BOUND_MS = 60_000;

/** The most sessids in one Changes; the hub splits more. */
export const MAX_CHANGED_SESSIDS = 4096;

/** The longest message in bytes: a full Changes. */
export const MAX_LEASE_MESSAGE_BYTES = 1 + 4 + 4 * MAX_CHANGED_SESSIDS;

/** The first byte of each message. */
export const LEASE_MESSAGE_TYPES = {
  welcome: 1,
  changes: 2,
  reset: 3,
  granted: 4,
  renew: 5,
  ack: 6,
  statusRequest: 7,
  status: 8,
} as const satisfies Record<LeaseMessage["kind"], number>;

/** Encodes one message. It does not check the fields. */
export function encodeLeaseMessage(message: LeaseMessage): Uint8Array<ArrayBuffer> {
  const sessids = message.kind === "changes" ? message.sessids : [];
  const writer = new ByteWriter(1 + 4 + 4 * sessids.length).u8(LEASE_MESSAGE_TYPES[message.kind]);
  switch (message.kind) {
    case "welcome":
      return writer.u32(message.boundMs).finish();
    case "changes":
    case "reset":
    case "ack":
      writer.u32(message.number);
      for (const sessid of sessids) writer.i32(sessid);
      return writer.finish();
    case "granted":
    case "renew":
      return writer.u32(message.renewal).finish();
    case "statusRequest":
      return writer.finish();
    case "status":
      return writer.u32(message.kept).u64(message.answered).u64(message.fromMemory).finish();
  }
}

/** A copy of an encoded Changes or Reset with this number: the hub encodes it once for all bridges. */
export function renumbered(frame: Uint8Array<ArrayBuffer>, number: number): Uint8Array<ArrayBuffer> {
  const copy = frame.slice();
  new DataView(copy.buffer).setUint32(1, number, true);
  return copy;
}

/**
 * Decodes one message of the hub.
 *
 * @throws ProtocolError the type is none of the hub's, or a field is missing, too long or out of range
 */
export function decodeHubMessage(frame: Uint8Array): HubMessage {
  const reader = new ByteReader(frame);
  const type = reader.u8("type");
  switch (type) {
    case LEASE_MESSAGE_TYPES.welcome: {
      const boundMs = reader.u32("boundMs");
      if (boundMs < MIN_BOUND_MS || boundMs > MAX_BOUND_MS) {
        throw new ProtocolError("out_of_range", `boundMs: ${boundMs}, allowed is ${MIN_BOUND_MS}..${MAX_BOUND_MS}`);
      }
      reader.end();
      return { kind: "welcome", boundMs };
    }
    case LEASE_MESSAGE_TYPES.changes: {
      const number = reader.u32("number");
      return { kind: "changes", number, sessids: readSessids(reader, frame.byteLength - 1 - 4) };
    }
    case LEASE_MESSAGE_TYPES.reset: {
      const number = reader.u32("number");
      reader.end();
      return { kind: "reset", number };
    }
    case LEASE_MESSAGE_TYPES.granted: {
      const renewal = reader.u32("renewal");
      reader.end();
      return { kind: "granted", renewal };
    }
    case LEASE_MESSAGE_TYPES.statusRequest:
      reader.end();
      return { kind: "statusRequest" };
    default:
      throw new ProtocolError("unknown_type", `type: ${type} is no message of a hub`);
  }
}

/**
 * Decodes one message of a bridge.
 *
 * @throws ProtocolError the type is none of a bridge's, or a field is missing, too long or out of range
 */
export function decodeBridgeMessage(frame: Uint8Array): BridgeMessage {
  const reader = new ByteReader(frame);
  const message = readBridgeMessage(reader);
  reader.end();
  return message;
}

function readBridgeMessage(reader: ByteReader): BridgeMessage {
  const type = reader.u8("type");
  switch (type) {
    case LEASE_MESSAGE_TYPES.renew:
      return { kind: "renew", renewal: reader.u32("renewal") };
    case LEASE_MESSAGE_TYPES.ack:
      return { kind: "ack", number: reader.u32("number") };
    case LEASE_MESSAGE_TYPES.status: {
      const [kept, answered] = [reader.u32("kept"), reader.u64("answered")];
      const fromMemory = reader.u64("fromMemory");
      if (fromMemory > answered)
        throw new ProtocolError("out_of_range", `fromMemory: more than the ${answered} answered`);
      return { kind: "status", kept, answered, fromMemory };
    }
    default:
      throw new ProtocolError("unknown_type", `type: ${type} is no message of a bridge`);
  }
}

function readSessids(reader: ByteReader, bytes: number): number[] {
  const count = Math.ceil(bytes / 4);
  if (count > MAX_CHANGED_SESSIDS) {
    throw new ProtocolError("out_of_range", `sessids: ${count}, allowed are 0..${MAX_CHANGED_SESSIDS}`);
  }
  const sessids: number[] = [];
  for (let index = 0; index < count; index++) {
    const sessid = reader.i32("sessids");
    if (sessid === 0) throw new ProtocolError("out_of_range", "sessids: 0 is never a session");
    sessids.push(sessid);
  }
  return sessids;
}
