import {
  MAX_SERVICE_PACKET_BYTES,
  PacketDecoder,
  ProtocolError,
  packetSizeAt,
  packetType,
} from "../../protocol/packet-framing.ts";
import { decodeServiceKey, SERVICE_KEY_REQUEST_TYPE } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AddressBook } from "../core/address-book.ts";
import type { DisconnectCode } from "../core/connection-limits.ts";
import { Session, type SessionContext } from "../core/session.ts";
import type { Batch, PacketSource } from "../edge/batch.ts";
import type { BatchDispatcher } from "../edge/batch-dispatcher.ts";
import { bridgeResponses, errorResponse, serviceKeyResponse } from "../edge/response-packets.ts";
import type { ServiceKeys } from "./game-access.ts";
import { type GameAddress, isGuess } from "./game-access.ts";

/** What all connections of the game-server port share. */
export interface GameSessionOptions {
  readonly dispatcher: BatchDispatcher;
  /** Packets of one connection that may wait; then its reading pauses. */
  readonly maxWaitingPackets: number;
  /** The first byte must come within this time. */
  readonly firstByteMs: number;
  readonly serviceKeys: ServiceKeys;
  readonly addresses: AddressBook<GameAddress>;
  /** Every answer that a connection gets passes here. */
  readonly onResponses: (answers: Uint8Array) => void;
  /** So many requests were answered TooMany because of failing checks. */
  readonly onTooManyFailures: (packets: number) => void;
  /** A wrong service key was answered TooMany. */
  readonly onTooManyKeys: () => void;
}

/** How long a packet keeps the place of a connection that is silent since, where anyone may ask. */
const MAX_TRUST_MS = 10_000;

/**
 * The connection of a game server: packets in, answers out, in order. It passes packets on without looking into them;
 * what they say is decided at the edge.
 */
export class GameSession extends Session implements PacketSource {
  readonly #options: GameSessionOptions;
  readonly #halfSentMs: number;
  readonly #decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
  readonly #inbox = new PacketInbox();
  readonly #addressRecord: GameAddress;
  readonly #startedMs = performance.now();
  /** Nothing has come yet, or no whole packet. */
  #heard: "nothing" | "bytes" | "packets" = "nothing";
  /** Packets in a batch: while there are any, what comes now waits. */
  #inFlight = 0;
  /** It waits for what others of its address have in flight: that may be all that the address may still fail at. */
  #parked = false;
  /** The peer's last packet has been received, or what it sends cannot be read any more. */
  #receiveEnded = false;
  #broken: { readonly code: DisconnectCode; readonly message: string } | undefined;
  /** When the first byte of the packet came whose rest is missing; 0 between packets. */
  #heldSinceMs = 0;

  constructor(context: SessionContext, options: GameSessionOptions) {
    super(context);
    this.#options = options;
    this.#halfSentMs = context.limits.packetTimeoutMs;
    this.#addressRecord = options.addresses.of(context.address, this.#startedMs);
    this.#addressRecord.connected();
  }

  get waiting(): number {
    return this.#parked ? 0 : this.#inbox.packets;
  }

  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void {
    this.guard(() => {
      const count = Math.min(maxPackets, this.#inbox.packets);
      const allowance = this.#addressRecord.allowance(performance.now());
      const taken = allowance >= count ? count : this.#allowed(count, allowance);
      const moved = this.#inbox.take(taken, maxBytes, (bytes, packets, receivedMs) => {
        batch.add(this, bytes, packets, receivedMs);
      });
      this.#inFlight += moved;
      this.#addressRecord.asked(moved);
    });
  }

  expire(beforeMs: number): void {
    this.guard(() => {
      this.#inbox.takeOlder(beforeMs, (bytes, packets) =>
        this.#answer(bridgeResponses(bytes, packets, Status.Unavailable)),
      );
      this.#continueReading();
    });
  }

  receiveResponses(answers: Uint8Array): void {
    this.guard(() => {
      const packets = this.#inFlight;
      this.#inFlight = 0;
      this.#addressRecord.responded(answers, packets, performance.now());
      this.#answer(answers);
      this.#continueReading();
    });
  }

  drain(): void {
    this.pauseReading();
    this.#receiveEnded = true;
    this.#continueReading();
  }

  protected onReceive(chunk: Uint8Array): void {
    if (this.#receiveEnded) return;
    const nowMs = performance.now();
    if (this.#heard === "nothing") this.#heard = "bytes";
    let completed = false;
    try {
      this.#decoder.pushRuns(chunk, (bytes, packets) => {
        completed = true;
        // The first packet was no right service key: nothing of what came with it is asked.
        if (this.#receiveEnded) return;
        if (this.#heard === "packets") this.#inbox.push(bytes, packets, nowMs);
        else this.#receiveFirst(bytes, packets, nowMs);
      });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#broken = { code: "protocol_error", message: error.message };
      this.#receiveEnded = true;
    }
    if (completed && !this.#receiveEnded) this.prove();
    if (this.#decoder.heldBytes === 0) this.#heldSinceMs = 0;
    else if (completed || this.#heldSinceMs === 0) this.#heldSinceMs = nowMs;
    this.#continueReading();
  }

  protected override onReceiveEnd(): void {
    this.#receiveEnded = true;
    this.#continueReading();
  }

  protected override onSweep(nowMs: number): void {
    const { firstByteMs, serviceKeys } = this.#options;
    if (this.#heard === "nothing" && !this.isKnown && nowMs - this.#startedMs > firstByteMs) {
      this.disconnect("first_byte");
      return;
    }
    // Where anyone may ask, a packet is soon sent: it proves no more than that the connection is in use.
    if (!this.isKnown && !serviceKeys.areNeeded && this.quietMs(nowMs) > Math.min(firstByteMs, MAX_TRUST_MS))
      this.doubt();
    // While reading pauses, the rest of the packet may wait in the network: that is not the peer's fault.
    if (!this.reading) this.#heldSinceMs &&= nowMs;
    if (this.#receiveEnded || this.#heldSinceMs === 0 || nowMs - this.#heldSinceMs <= this.#halfSentMs) return;
    this.#broken = { code: "half_sent_packet", message: `a packet stayed half-sent for ${this.#halfSentMs} ms` };
    this.#receiveEnded = true;
    this.#continueReading();
  }

  protected override onDisconnected(_code: DisconnectCode): void {
    this.#inbox.clear();
    this.#addressRecord.disconnected(this.#resume);
    this.#options.dispatcher.remove(this);
  }

  /** The first packets: whether the client may ask at all. */
  #receiveFirst(bytes: Uint8Array, packets: number, nowMs: number): void {
    this.#heard = "packets";
    const showsKey = packetType(bytes) === SERVICE_KEY_REQUEST_TYPE;
    const keyBytes = showsKey ? packetSizeAt(bytes, 0) : 0;
    if (showsKey) {
      const status = this.#judgeKey(bytes.subarray(0, keyBytes), nowMs);
      this.#answer(serviceKeyResponse(status));
      this.#receiveEnded = status !== Status.Ok;
    } else if (this.#options.serviceKeys.areNeeded) {
      this.#answer(errorResponse(Status.Denied, "a service key is needed first"));
      this.#receiveEnded = true;
    }
    if (this.#receiveEnded) {
      this.end("service_key");
      return;
    }
    const left = packets - (showsKey ? 1 : 0);
    if (left > 0) this.#inbox.push(bytes.subarray(keyBytes), left, nowMs);
  }

  #judgeKey(packet: Uint8Array, nowMs: number): Status {
    const { serviceKeys } = this.#options;
    let key: string;
    try {
      key = decodeServiceKey(packet);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return Status.Invalid;
    }
    // A port without keys accepts any: clients may have one before the port asks for it.
    if (!serviceKeys.areNeeded || serviceKeys.include(key)) return Status.Ok;
    const { wrongKeys } = this.#addressRecord;
    if (wrongKeys.allowance(nowMs) > 0) {
      wrongKeys.count(1, nowMs);
      return Status.Denied;
    }
    this.#options.onTooManyKeys();
    return Status.TooMany;
  }

  /** Less is in flight from this address: ask again. */
  readonly #resume = (): void =>
    this.guard(() => {
      this.#parked = false;
      this.#continueReading();
    });

  /**
   * How many of the next `count` packets may be asked if `allowance` of them may fail. Those at the front that may not are
   * answered TooMany, once nothing is in flight whose answers come before; or they wait, if the address may still fail and
   * it is others of it that have so much in flight.
   */
  #allowed(count: number, allowance: number): number {
    let left = allowance;
    const mayAsk = (type: number): boolean => !isGuess(type) || left-- > 0;
    const allowed = this.#inbox.leading(count, mayAsk);
    if (allowed > 0 || this.#inFlight > 0) return allowed;
    if (!this.#addressRecord.isExhausted(performance.now())) {
      this.#parked = true;
      this.#addressRecord.wait(this.#resume);
      return 0;
    }
    const refused = this.#inbox.leading(this.#inbox.packets, isGuess);
    this.#inbox.take(refused, Number.POSITIVE_INFINITY, (bytes, packets) => {
      this.#answer(bridgeResponses(bytes, packets, Status.TooMany));
    });
    this.#options.onTooManyFailures(refused);
    this.#continueReading();
    return this.#inbox.leading(count, mayAsk);
  }

  /** What follows from the state after any change of it. */
  #continueReading(): void {
    if (this.#inFlight === 0 && this.waiting > 0) this.#options.dispatcher.enqueue(this);
    if (!this.#receiveEnded) {
      if (this.#inbox.packets >= this.#options.maxWaitingPackets) this.pauseReading();
      else this.resumeReading();
    } else if (this.#inFlight === 0 && this.#inbox.packets === 0) {
      if (this.#broken !== undefined) this.#answer(errorResponse(Status.Invalid, this.#broken.message));
      this.end(this.#broken?.code);
    }
  }

  #answer(answers: Uint8Array): void {
    this.#options.onResponses(answers);
    this.send(answers);
  }
}

/** Whole packets that lie together, and when they came. */
interface Run {
  readonly bytes: Uint8Array;
  /** Where the first packet that has not been taken starts. */
  at: number;
  packets: number;
  readonly receivedMs: number;
}

/** Gets whole packets that lie together, their number, and when they came. */
export type RunSink = (bytes: Uint8Array, packets: number, receivedMs: number) => void;

/** The packets of one connection that wait for a batch, in order. It holds what was received, without a copy. */
export class PacketInbox {
  readonly #runs: Run[] = [];
  #packets = 0;

  /** How many packets wait. */
  get packets(): number {
    return this.#packets;
  }

  push(bytes: Uint8Array, packets: number, receivedMs: number): void {
    this.#runs.push({ bytes, at: 0, packets, receivedMs });
    this.#packets += packets;
  }

  /** Takes packets from the front, as many as both bounds allow, and returns their number. */
  take(maxPackets: number, maxBytes: number, sink: RunSink): number {
    let packetsLeft = maxPackets;
    let bytesLeft = maxBytes;
    for (let run = this.#runs[0]; run !== undefined && packetsLeft > 0; run = this.#runs[0]) {
      const start = run.at;
      const whole = run.packets <= packetsLeft && run.bytes.byteLength - start <= bytesLeft;
      const taken = whole ? run.packets : leadingPackets(run, packetsLeft, bytesLeft);
      const end = whole ? run.bytes.byteLength : endOf(run, taken);
      if (taken > 0) sink(run.bytes.subarray(start, end), taken, run.receivedMs);
      packetsLeft -= taken;
      bytesLeft -= end - start;
      this.#packets -= taken;
      run.at = end;
      run.packets -= taken;
      if (run.packets > 0) break;
      this.#runs.shift();
    }
    return maxPackets - packetsLeft;
  }

  /** Takes the packets that came before `beforeMs`. */
  takeOlder(beforeMs: number, sink: RunSink): void {
    for (let run = this.#runs[0]; run !== undefined && run.receivedMs < beforeMs; run = this.#runs[0]) {
      sink(run.bytes.subarray(run.at), run.packets, run.receivedMs);
      this.#packets -= run.packets;
      this.#runs.shift();
    }
  }

  /** How many packets at the front, up to `maxPackets`, are of a type that `accepts` accepts. */
  leading(maxPackets: number, accepts: (type: number) => boolean): number {
    let count = 0;
    for (const run of this.#runs) {
      for (let at = run.at; at < run.bytes.byteLength; at += packetSizeAt(run.bytes, at)) {
        const type = packetType(run.bytes, at);
        if (count === maxPackets || !accepts(type)) return count;
        count += 1;
      }
    }
    return count;
  }

  clear(): void {
    this.#runs.length = 0;
    this.#packets = 0;
  }
}

function leadingPackets(run: Run, maxPackets: number, maxBytes: number): number {
  let at = run.at;
  let packets = 0;
  while (packets < maxPackets && packets < run.packets) {
    at += packetSizeAt(run.bytes, at);
    if (at - run.at > maxBytes) break;
    packets += 1;
  }
  return packets;
}

function endOf(run: Run, packets: number): number {
  let at = run.at;
  for (let packet = 0; packet < packets; packet++) at += packetSizeAt(run.bytes, at);
  return at;
}
