/** What may be used up: `burst` at once, and `perSecond` from then on. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What one member may send (docs/rooms.md, "What a member may send"). */
export interface SenderRates {
  readonly messages: Rate;
  /** Bytes of messages, each as its entry in the log counts. */
  readonly bytes: Rate;
  readonly datagrams: Rate;
  /** Bytes of datagrams, each with its packet's header. */
  readonly datagramBytes: Rate;
  /** All of its packets, whatever becomes of them: each costs the room time. */
  readonly packets: Rate;
}

/** What a Join costs in packets: everybody hears of it, and it is answered with what was said before. */
const JOIN_PACKETS = 1_000;

/**
 * What a session may still send to a room. It is the session's, not its connection's: who comes back goes on with what was
 * left.
 */
export class SenderBudget {
  readonly #messages = new TokenBucket();
  readonly #bytes = new TokenBucket();
  readonly #datagrams = new TokenBucket();
  readonly #datagramBytes = new TokenBucket();
  readonly #packets = new TokenBucket();

  /** Whether a packet may be looked at; then it is paid for. */
  takePacket({ packets }: SenderRates, nowMs: number): boolean {
    if (this.#packets.refill(packets, nowMs) <= 0) return false;
    this.#packets.spend(1);
    return true;
  }

  /** The same for a Join. */
  takeJoin({ packets }: SenderRates, nowMs: number): boolean {
    if (this.#packets.refill(packets, nowMs) <= 0) return false;
    this.#packets.spend(JOIN_PACKETS);
    return true;
  }

  /** Whether a message may go now; then it is paid for. */
  takeMessage(bytes: number, rates: SenderRates, nowMs: number): boolean {
    const { messages, bytes: byteRate } = rates;
    if (this.#messages.refill(messages, nowMs) <= 0 || this.#bytes.refill(byteRate, nowMs) <= 0) return false;
    this.#messages.spend(1);
    this.#bytes.spend(bytes);
    return true;
  }

  /** The same for a datagram. */
  takeDatagram(bytes: number, { datagrams, datagramBytes }: SenderRates, nowMs: number): boolean {
    if (this.#datagrams.refill(datagrams, nowMs) <= 0 || this.#datagramBytes.refill(datagramBytes, nowMs) <= 0) {
      return false;
    }
    this.#datagrams.spend(1);
    this.#datagramBytes.spend(bytes);
    return true;
  }

  /** When the next message may go, in ms. */
  messageAtMs(rates: SenderRates, nowMs: number): number {
    return Math.max(this.#messages.readyMs(rates.messages, nowMs), this.#bytes.readyMs(rates.bytes, nowMs));
  }

  /** Whether nothing of it is used up, so that a new one is as good. */
  isFull({ messages, bytes, datagrams, datagramBytes, packets }: SenderRates, nowMs: number): boolean {
    return (
      this.#messages.refill(messages, nowMs) >= messages.burst &&
      this.#bytes.refill(bytes, nowMs) >= bytes.burst &&
      this.#datagrams.refill(datagrams, nowMs) >= datagrams.burst &&
      this.#datagramBytes.refill(datagramBytes, nowMs) >= datagramBytes.burst &&
      this.#packets.refill(packets, nowMs) >= packets.burst
    );
  }
}

/** The budgets of a room's sessions; of those that are gone, as long as they are not full again. */
export class SenderBudgets {
  readonly #rates: SenderRates;
  readonly #bySession = new Map<string, SenderBudget>();
  /** How many there may be before the full ones are looked for. */
  #sweepAbove = 64;

  constructor(rates: SenderRates) {
    this.#rates = rates;
  }

  of(session: string, nowMs: number): SenderBudget {
    const known = this.#bySession.get(session);
    if (known !== undefined) return known;
    if (this.#bySession.size >= this.#sweepAbove) this.#sweep(nowMs);
    const budget = new SenderBudget();
    this.#bySession.set(session, budget);
    return budget;
  }

  #sweep(nowMs: number): void {
    for (const [session, budget] of this.#bySession) {
      if (budget.isFull(this.#rates, nowMs)) this.#bySession.delete(session);
    }
    this.#sweepAbove = Math.max(64, this.#bySession.size * 2);
  }
}

/** May be overdrawn by the last thing that it paid for, so that what is larger than its burst can go at all. */
class TokenBucket {
  #spare = Number.POSITIVE_INFINITY;
  #atMs = 0;

  /** What there is now. */
  refill({ perSecond, burst }: Rate, nowMs: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#spare = Math.min(burst, this.#spare + (elapsedMs * perSecond) / 1000);
    this.#atMs = nowMs;
    return this.#spare;
  }

  spend(cost: number): void {
    this.#spare -= cost;
  }

  /** When there is something again. */
  readyMs(rate: Rate, nowMs: number): number {
    const spare = this.refill(rate, nowMs);
    return spare > 0 ? nowMs : nowMs + Math.floor((-spare * 1000) / rate.perSecond) + 1;
  }
}
