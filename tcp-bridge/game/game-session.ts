import { MAX_SERVICE_PACKET_BYTES, PacketDecoder } from "../../protocol/packet-framing.ts";
import { ProtocolError } from "../../protocol/protocol-error.ts";
import { Status } from "../../protocol/status.ts";
import type { DisconnectCode } from "../core/disconnect-code.ts";
import { Session, type SessionContext } from "../core/session.ts";
import type { Batch } from "../edge/batch.ts";
import type { BatchDispatcher } from "../edge/batch-dispatcher.ts";
import { errorAnswer, ownAnswers } from "../edge/own-answers.ts";
import type { PacketSource } from "../edge/packet-source.ts";
import { FailureWindow, isGuess } from "./failure-window.ts";
import { PacketInbox } from "./packet-inbox.ts";

/** What all connections of the game-server port share. */
export interface GameSessionOptions {
  readonly dispatcher: BatchDispatcher;
  /** Packets of one connection that may wait; then its reading pauses. */
  readonly maxWaitingPackets: number;
  /** NotFound and Denied verdicts of one connection a minute; then its checks and deletes are answered TooMany. */
  readonly maxFailuresPerMinute: number;
  /** Every answer that a connection gets passes here. */
  readonly onAnswers: (answers: Uint8Array) => void;
  /** So many requests were answered TooMany because of failing checks. */
  readonly onTooManyFailures: (packets: number) => void;
}

/**
 * The connection of a game server: packets in, answers out, in order. It passes packets on without looking into them;
 * what they say is decided at the edge.
 */
export class GameSession extends Session implements PacketSource {
  readonly #options: GameSessionOptions;
  readonly #halfSentMs: number;
  readonly #decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
  readonly #inbox = new PacketInbox();
  readonly #failures: FailureWindow;
  /** Packets in a batch: while there are any, what comes now waits. */
  #inFlight = 0;
  /** The peer's last packet has been received, or what it sends cannot be read any more. */
  #receiveEnded = false;
  #broken: { readonly code: DisconnectCode; readonly message: string } | undefined;
  /** When the first byte of the packet came whose rest is missing; 0 between packets. */
  #heldSinceMs = 0;

  constructor(context: SessionContext, options: GameSessionOptions) {
    super(context);
    this.#options = options;
    this.#halfSentMs = context.limits.halfSentMs;
    this.#failures = new FailureWindow(options.maxFailuresPerMinute);
  }

  get waiting(): number {
    return this.#inbox.packets;
  }

  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void {
    this.guard(() => {
      const count = Math.min(maxPackets, this.#inbox.packets);
      const allowance = this.#failures.allowance(performance.now()) - this.#inFlight;
      const taken = allowance >= count ? count : this.#allowed(count, allowance);
      const moved = this.#inbox.take(taken, maxBytes, (bytes, packets, receivedMs) => {
        batch.add(this, bytes, packets, receivedMs);
      });
      this.#inFlight += moved;
    });
  }

  expire(beforeMs: number): void {
    this.guard(() => {
      this.#inbox.takeOlder(beforeMs, (bytes, packets) => this.#answer(ownAnswers(bytes, packets, Status.Unavailable)));
      this.#continueReading();
    });
  }

  answered(answers: Uint8Array): void {
    this.guard(() => {
      this.#inFlight = 0;
      this.#failures.count(answers, performance.now());
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
    let completed = false;
    try {
      this.#decoder.pushRuns(chunk, (bytes, packets) => {
        completed = true;
        this.#inbox.push(bytes, packets, nowMs);
      });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#broken = { code: "protocol_error", message: error.message };
      this.#receiveEnded = true;
    }
    if (this.#decoder.heldBytes === 0) this.#heldSinceMs = 0;
    else if (completed || this.#heldSinceMs === 0) this.#heldSinceMs = nowMs;
    this.#continueReading();
  }

  protected override onReceiveEnd(): void {
    this.#receiveEnded = true;
    this.#continueReading();
  }

  protected override onSweep(nowMs: number): void {
    // While reading pauses, the rest of the packet may wait in the network: that is not the peer's fault.
    if (!this.reading) this.#heldSinceMs &&= nowMs;
    if (this.#receiveEnded || this.#heldSinceMs === 0 || nowMs - this.#heldSinceMs <= this.#halfSentMs) return;
    this.#broken = { code: "half_sent_packet", message: `a packet stayed half-sent for ${this.#halfSentMs} ms` };
    this.#receiveEnded = true;
    this.#continueReading();
  }

  protected override onDisconnected(_code: DisconnectCode): void {
    this.#inbox.clear();
    this.#options.dispatcher.remove(this);
  }

  /**
   * How many of the next `count` packets may be asked if `allowance` of them may fail. The checks at the front that may
   * not are answered TooMany, once nothing is in flight whose answers come before.
   */
  #allowed(count: number, allowance: number): number {
    let left = allowance;
    const mayAsk = (type: number): boolean => !isGuess(type) || left-- > 0;
    const allowed = this.#inbox.leading(count, mayAsk);
    if (allowed > 0 || this.#inFlight > 0) return allowed;
    const refused = this.#inbox.leading(this.#inbox.packets, isGuess);
    this.#inbox.take(refused, Number.POSITIVE_INFINITY, (bytes, packets) => {
      this.#answer(ownAnswers(bytes, packets, Status.TooMany));
    });
    this.#options.onTooManyFailures(refused);
    this.#continueReading();
    return this.#inbox.leading(count, mayAsk);
  }

  /** What follows from the state after any change of it. */
  #continueReading(): void {
    if (this.#inFlight === 0 && this.#inbox.packets > 0) this.#options.dispatcher.enqueue(this);
    if (!this.#receiveEnded) {
      if (this.#inbox.packets >= this.#options.maxWaitingPackets) this.pauseReading();
      else this.resumeReading();
    } else if (this.#inFlight === 0 && this.#inbox.packets === 0) {
      if (this.#broken !== undefined) this.#answer(errorAnswer(Status.Invalid, this.#broken.message));
      this.end(this.#broken?.code);
    }
  }

  #answer(answers: Uint8Array): void {
    this.#options.onAnswers(answers);
    this.send(answers);
  }
}
