import { ByteWriter } from "../../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES, ProtocolError, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { decodeServiceKey, SERVICE_KEY_REQUEST_TYPE } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status-codes.ts";
import { decodeWatchRequest, type WatchRequest, writeWatchResponse } from "../../protocol/watch-packets.ts";
import { AddressBook } from "../core/admission.ts";
import { Connection, type ConnectionContext, PacketReceiver } from "../core/connection.ts";
import type { ConnectionLimits, DisconnectCode, LimitCode } from "../core/connection-limits.ts";
import { type Endpoint, Listener, type PortObserver } from "../core/listener.ts";
import {
  type Batch,
  bridgeResponses,
  errorResponse,
  Lane,
  laneOf,
  PacketInbox,
  type PacketSource,
  serviceKeyResponse,
} from "../edge/batch.ts";
import type { BatchDispatcher } from "../edge/batch-dispatcher.ts";
import type { KeptSessions } from "../leases/kept-sessions.ts";
import type { Watch, WatchPeer } from "../watches/watch.ts";
import type { Watches } from "../watches/watches.ts";
import {
  GameAddress,
  type GameAddressLimits,
  isGuess,
  KnownLimits,
  KnownSessions,
  ServiceKeys,
} from "./game-access.ts";

/** The limits of the game-server port. */
export interface GamePortLimits extends ConnectionLimits, GameAddressLimits {
  /** A connection without a certificate of the port's authority must send its first byte within this time. */
  readonly firstByteMs: number;
  /** While this many packets of one connection wait, the bridge does not read from it. */
  readonly maxWaitingPackets: number;
  /** A connection that watches and knows more sessions is told of the ends of all sessions. */
  readonly maxKnownSessions: number;
}

/** Where game servers connect, and which of them may send requests. */
export interface GamePortConfig extends Endpoint {
  /** A client must show one of these first. Empty: it need not show any. */
  readonly serviceKeys: readonly string[];
}

/** What the port uses of the bridge. */
export type GamePortParts = Pick<GameConnectionOptions, "dispatcher" | "kept" | "watches" | "metrics">;

/** The port for game servers (docs/wire-protocol.md, "Service packets"). */
export function createGamePort(
  config: GamePortConfig,
  limits: GamePortLimits,
  parts: GamePortParts,
  observer: PortObserver,
): Listener {
  const { maxWaitingPackets, firstByteMs, maxKnownSessions } = limits;
  const serviceKeys = new ServiceKeys(config.serviceKeys);
  const addresses = new AddressBook(() => new GameAddress(limits));
  const knownLimits = new KnownLimits(maxKnownSessions);
  const own = { maxWaitingPackets, firstByteMs, serviceKeys, addresses, knownLimits };
  const options: GameConnectionOptions = { ...parts, ...own };
  return new Listener(config, (context) => new GameConnection(context, options), {
    ...observer,
    limits,
    shortestMs: firstByteMs,
    headerMs: firstByteMs,
    refusal,
  });
}

function refusal(code: LimitCode): Uint8Array {
  return errorResponse(Status.TooMany, code);
}

/** What all connections of the game-server port share. */
export interface GameConnectionOptions {
  readonly dispatcher: BatchDispatcher;
  /** While this many packets of one connection wait, the bridge does not read from it. */
  readonly maxWaitingPackets: number;
  /** The first byte must arrive within this time. */
  readonly firstByteMs: number;
  readonly serviceKeys: ServiceKeys;
  readonly addresses: AddressBook<GameAddress>;
  /** Answers from memory; absent: none. */
  readonly kept: KeptSessions | undefined;
  readonly watches: Watches;
  readonly knownLimits: KnownLimits;
  readonly metrics: GameConnectionMetrics;
}

/** Counts the responses of the connections. */
export interface GameConnectionMetrics {
  /** Whole response packets are sent to a client. */
  responsesSent(responses: Uint8Array): void;
  /** So many of them did not come from the edge. */
  answeredFromMemory(responses: number): void;
  /** A limit refused requests: they get TooMany. */
  refused(code: "failing_checks" | "wrong_keys", requests?: number): void;
}

/** Whether a packet of a type may be in a batch of a lane. */
const TYPES_OF_BATCH = {
  [Lane.Read]: (type: number) => laneOf(type) === Lane.Read,
  [Lane.Create]: (type: number) => laneOf(type) <= Lane.Create,
  [Lane.End]: (type: number) => laneOf(type) <= Lane.End,
  [Lane.None]: () => false,
};

/** On a port without credentials, a connection that is silent for this long may lose its place again. */
const MAX_TRUST_MS = 10_000;

/**
 * The connection of a game server: request packets in, response packets out, in order. What memory cannot answer it forwards without
 * decoding; the edge decodes and executes it.
 */
class GameConnection extends Connection implements PacketSource, WatchPeer {
  readonly #options: GameConnectionOptions;
  readonly #receiver: PacketReceiver;
  readonly #inbox = new PacketInbox();
  readonly #addressRecord: GameAddress;
  readonly #startedMs = performance.now();
  #received: "nothing" | "bytes" | "packets" = "nothing";
  /** When the last chunk came. */
  #receivedMs = 0;
  /** Packets in a batch. While there are any, new packets wait in the inbox. */
  #inFlight = 0;
  /** When the batch in flight was made, if it has a write in it. */
  #writeSinceMs: number | undefined;
  /** Its packets wait because packets of the same address are in flight, which may use up the failures that the address has left. */
  #waitsForAddress = false;
  readonly #known: KnownSessions;
  /** Undefined before the first WatchRequest. */
  #watch: Watch | undefined;
  /** Since when the WatchRequest at the front of the inbox is asked; undefined: none is. */
  #askedMs: number | undefined;
  #isAsking = false;
  /** The client has stopped sending, or the bridge no longer reads what it sends. */
  #receiveEnded = false;
  /** Why the connection ends after the responses to all requests, if the client is at fault. */
  #fault: { readonly code: DisconnectCode; readonly message: string } | undefined;

  constructor(context: ConnectionContext, options: GameConnectionOptions) {
    super(context);
    this.#options = options;
    this.#receiver = new PacketReceiver(MAX_SERVICE_PACKET_BYTES, context.limits.packetTimeoutMs);
    this.#addressRecord = options.addresses.of(context.address, this.#startedMs);
    this.#addressRecord.connected();
    this.#known = new KnownSessions(options.knownLimits);
  }

  protected onReceive(chunk: Uint8Array, nowMs: number): void {
    if (this.#receiveEnded) return;
    if (this.#received === "nothing") this.#received = "bytes";
    this.#receivedMs = nowMs;
    const error = this.#receiver.receive(chunk, nowMs, this.#onRun);
    if (error !== undefined) {
      this.#fault = { code: "protocol_error", message: error.message };
      this.#receiveEnded = true;
    }
    this.#update();
  }

  /** Whole packets of a chunk. One function for the life of the connection: it runs for every chunk. */
  readonly #onRun = (run: Uint8Array, packets: number): void => {
    // If the service key is missing or wrong, no packet of the same chunk is executed.
    if (this.#receiveEnded) return;
    if (this.#received === "packets") this.#receivePackets(run, packets, this.#receivedMs);
    else this.#receiveFirst(run, packets);
    if (!this.#receiveEnded) this.prove();
  };

  protected override onReceiveEnd(): void {
    this.#receiveEnded = true;
    this.#update();
  }

  drain(): void {
    this.pauseReading();
    this.#receiveEnded = true;
    this.#update();
  }

  get waiting(): number {
    return this.#waitsForAddress ? 0 : this.#inbox.packets;
  }

  get lane(): Lane {
    return laneOf(this.#inbox.nextType);
  }

  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void {
    this.guard(() => {
      const allowed = this.#allowed(batch, maxPackets);
      const moved = this.#inbox.take(allowed, maxBytes, (bytes, packets, receivedMs) => {
        batch.add(this, bytes, packets, receivedMs);
      });
      this.#inFlight += moved;
      if (moved > 0 && batch.lane !== Lane.Read) this.#writeSinceMs ??= performance.now();
      this.#addressRecord.requested(moved);
    });
  }

  expire(beforeMs: number): void {
    this.guard(() => {
      this.#inbox.takeOlder(beforeMs, (bytes, packets) => {
        this.#respond(bridgeResponses(bytes, packets, Status.Unavailable));
      });
      this.#update();
    });
  }

  receiveResponses(responses: Uint8Array, requests: Uint8Array): void {
    this.guard(() => {
      const packets = this.#inFlight;
      const nowMs = performance.now();
      this.#inFlight = 0;
      if (this.#writeSinceMs !== undefined) this.#inbox.excuseWait(this.#writeSinceMs, nowMs);
      this.#writeSinceMs = undefined;
      this.#addressRecord.responded(responses, packets, nowMs);
      if (this.#known.isLearning) this.#known.learn(requests, responses);
      this.#respond(responses);
      // Before the next packets are in flight.
      if (this.#watch?.tellOn(nowMs)) this.#watch.wake();
      this.#update();
    });
  }

  get mayBeTold(): boolean {
    return this.#inFlight === 0 && this.writable;
  }

  knows(sessid: number): boolean {
    return this.#known.has(sessid);
  }

  tell(packet: Uint8Array): void {
    this.send(packet);
  }

  /** Answers the WatchRequest at the front of the inbox. */
  answer(status: Status, position: string | null): void {
    this.guard(() => {
      this.#inbox.take(1, Number.POSITIVE_INFINITY, () => undefined);
      this.#inbox.excuseWait(this.#askedMs ?? this.#receivedMs, performance.now());
      this.#askedMs = undefined;
      this.#known.watch(this.#watch?.scope === "known");
      this.#respond(watchResponse(status, position));
      // Memory may have the responses to the packets behind it.
      const rest = this.#inbox.takeAdjacent();
      if (rest !== undefined) this.#receivePackets(rest.bytes, rest.packets, rest.receivedMs);
      if (!this.#isAsking) this.#update();
    });
  }

  protected override onSent(): void {
    this.#watch?.wake();
  }

  protected override onSweep(nowMs: number): void {
    const { firstByteMs, serviceKeys } = this.#options;
    this.#watch?.sweep(nowMs, this.limits.idleMs);
    if (this.#received === "nothing" && !this.isKnown && nowMs - this.#startedMs > firstByteMs) {
      this.disconnect("first_byte");
      return;
    }
    // On a port without credentials, a packet costs an attacker little: it proves only that the connection is in use now.
    const trustMs = Math.min(firstByteMs, MAX_TRUST_MS);
    if (!this.isKnown && !serviceKeys.areNeeded && this.quietMs(nowMs) > trustMs) this.doubt();
    if (this.#receiveEnded || !this.#receiver.isOverdue(nowMs, this.reading)) return;
    const { packetTimeoutMs } = this.limits;
    this.#fault = { code: "packet_timeout", message: `a packet stayed half-sent for ${packetTimeoutMs} ms` };
    this.#receiveEnded = true;
    this.#update();
  }

  protected override onDisconnected(_code: DisconnectCode): void {
    this.#inbox.clear();
    this.#watch?.close();
    this.#known.close();
    this.#addressRecord.disconnected(this.#resume);
    this.#options.dispatcher.remove(this);
  }

  /** Receives the first packets, and decides whether the client may send requests. */
  #receiveFirst(run: Uint8Array, packets: number): void {
    this.#received = "packets";
    const hasKey = packetType(run) === SERVICE_KEY_REQUEST_TYPE;
    const keyBytes = hasKey ? packetSizeAt(run, 0) : 0;
    if (hasKey) {
      const status = this.#checkKey(run.subarray(0, keyBytes), this.#receivedMs);
      this.#respond(serviceKeyResponse(status));
      this.#receiveEnded = status !== Status.Ok;
    } else if (this.#options.serviceKeys.areNeeded) {
      this.#respond(errorResponse(Status.Denied, "a service key is needed first"));
      this.#receiveEnded = true;
    }
    if (this.#receiveEnded) {
      this.end("service_key");
      return;
    }
    const left = packets - (hasKey ? 1 : 0);
    if (left > 0) this.#receivePackets(run.subarray(keyBytes), left, this.#receivedMs);
  }

  /** Answers the packets at the front from memory, unless earlier ones have no response yet. The others wait for the edge. */
  #receivePackets(run: Uint8Array, packets: number, receivedMs: number): void {
    const isNext = this.#inFlight === 0 && this.#inbox.packets === 0;
    const answer = isNext ? this.#options.kept?.answer(run) : undefined;
    if (answer === undefined) {
      this.#inbox.push(run, packets, receivedMs);
      return;
    }
    const { metrics } = this.#options;
    metrics.responsesSent(answer.responses);
    metrics.answeredFromMemory(answer.packets);
    if (this.#known.isLearning) this.#known.learn(run, answer.responses);
    this.sendAtOnce(answer.responses, receivedMs);
    const left = packets - answer.packets;
    if (left > 0) this.#inbox.push(run.subarray(answer.bytes), left, receivedMs);
  }

  #checkKey(packet: Uint8Array, nowMs: number): Status {
    const { serviceKeys, metrics } = this.#options;
    let key: string;
    try {
      key = decodeServiceKey(packet);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return Status.Invalid;
    }
    // A port without keys accepts any, so that clients can be given a key before the port requires it.
    if (!serviceKeys.areNeeded || serviceKeys.include(key)) return Status.Ok;
    const { wrongKeys } = this.#addressRecord;
    if (wrongKeys.allowance(nowMs) > 0) {
      wrongKeys.count(1, nowMs);
      return Status.Denied;
    }
    metrics.refused("wrong_keys");
    return Status.TooMany;
  }

  /** Packets of this address got their responses: try again. */
  readonly #resume = (): void =>
    this.guard(() => {
      this.#waitsForAddress = false;
      this.#update();
    });

  /**
   * How many of the next packets may go into the batch, because of their lanes and of the failures that the address has left. If
   * the first one may not be sent, then either the connection waits, because packets in flight of its address may succeed, or the
   * address has no failures left: then the guesses at the front get TooMany, as soon as nothing is in flight whose responses come
   * before.
   */
  #allowed(batch: Batch, maxPackets: number): number {
    const nowMs = performance.now();
    const allowance = this.#addressRecord.allowance(nowMs);
    const count = Math.min(maxPackets, this.#inbox.packets);
    if (allowance >= count) return this.#inbox.leading(count, TYPES_OF_BATCH[batch.lane]);
    let left = allowance;
    const mayAsk = (type: number): boolean => laneOf(type) <= batch.lane && (!isGuess(type) || left-- > 0);
    const allowed = this.#inbox.leading(maxPackets, mayAsk);
    if (allowed > 0 || this.#inFlight > 0) return allowed;
    if (!this.#addressRecord.isExhausted(nowMs)) {
      this.#waitsForAddress = true;
      this.#addressRecord.wait(this.#resume);
      return 0;
    }
    const refused = this.#inbox.leading(this.#inbox.packets, isGuess);
    this.#inbox.take(refused, Number.POSITIVE_INFINITY, (bytes, packets) => {
      this.#respond(bridgeResponses(bytes, packets, Status.TooMany));
    });
    this.#options.metrics.refused("failing_checks", refused);
    // The next packet may have another lane: then it waits there now.
    this.#update();
    return this.lane === batch.lane ? this.#inbox.leading(maxPackets, mayAsk) : 0;
  }

  /** Asks for the watches whose requests are at the front, as long as they are answered at once. */
  #askForWatches(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    while (this.lane === Lane.None && this.#inFlight === 0 && this.#askedMs === undefined) {
      this.#askedMs = performance.now();
      let request: WatchRequest;
      try {
        request = decodeWatchRequest(this.#inbox.next);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.answer(Status.Invalid, null);
        continue;
      }
      this.#watch ??= this.#options.watches.of(this);
      this.#watch.ask(request);
    }
    this.#isAsking = false;
  }

  /** Called after each change of the state: asks for watches, enqueues waiting packets, pauses or resumes reading, or ends the connection. */
  #update(): void {
    if (this.lane === Lane.None) this.#askForWatches();
    if (this.#inFlight === 0 && this.waiting > 0) this.#options.dispatcher.enqueue(this);
    if (!this.#receiveEnded) {
      if (this.#inbox.packets >= this.#options.maxWaitingPackets) this.pauseReading();
      else this.resumeReading();
    } else if (this.#inFlight === 0 && this.#inbox.packets === 0) {
      if (this.#fault !== undefined) this.#respond(errorResponse(Status.Invalid, this.#fault.message));
      this.end(this.#fault?.code);
    }
  }

  #respond(responses: Uint8Array): void {
    this.#options.metrics.responsesSent(responses);
    this.send(responses);
  }
}

function watchResponse(status: Status, position: string | null): Uint8Array {
  const writer = new ByteWriter();
  writeWatchResponse(writer, status, position);
  return writer.finish();
}
