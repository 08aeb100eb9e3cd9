import { ByteWriter } from "../../protocol/packet-fields.ts";
import { packetSizeAt } from "../../protocol/packet-framing.ts";
import { decodeServiceResponse, writeServiceRequest } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status-codes.ts";
import { type Batch, Lane, type PacketSource } from "../edge/batch.ts";
import type { BatchDispatcher } from "../edge/batch-dispatcher.ts";

/** Whose session a token is, and who said so. */
export interface Identity {
  /** Ok, NotFound, Denied (it lacks the grant for the resource), Invalid, or Unavailable (nobody could be asked in time). */
  readonly status: Status;
  /** 0 unless Ok. */
  readonly sessid: number;
  /** Empty unless Ok. */
  readonly user: string;
  /** `lease`: this bridge's memory; `store`: the edge, which asked its store. */
  readonly source: "lease" | "store";
}

/** Answers whose session a token is. */
export interface SessionLookup {
  /**
   * Identifies the session of a token of 20 bytes, and renews its idle lifetime. `resource`: what the session wants to enter, at most
   * MAX_RESOURCE_BYTES; empty: nothing in particular. The result is there at once if this bridge's memory may answer; otherwise it
   * comes with an ordinary batch, within the deadline of the edge. Does not reject.
   */
  identify(token: Uint8Array<ArrayBuffer>, resource: string): Identity | Promise<Identity>;
}

/** Sessions that this bridge's memory may speak for. */
export interface IdentityMemory {
  /** As {@link SessionLookup}; undefined: the edge must be asked. */
  identify(token: Uint8Array, resource: string): Pick<Identity, "sessid" | "user"> | undefined;
}

/** Lookups that wait or are in flight. More than that the edge does not answer within its deadline. */
const MAX_PENDING = 50_000;

/** Whom nobody could be asked about in time. */
const UNAVAILABLE: Identity = { status: Status.Unavailable, sessid: 0, user: "", source: "store" };

/** Identifies the sessions of tokens: from memory, or by SessionIdentify packets in the batches of all connections. */
export class EdgeLookup implements SessionLookup {
  readonly #dispatcher: Pick<BatchDispatcher, "enqueue">;
  readonly #memory: IdentityMemory | undefined;
  /** Queues without a lookup. They are used again, because the dispatcher learns from its sources how soon they ask again. */
  readonly #spare: LookupQueue[] = [];
  /** Takes further lookups, until a batch takes its first. */
  #open: LookupQueue | undefined;
  #pending = 0;

  constructor(dispatcher: Pick<BatchDispatcher, "enqueue">, memory?: IdentityMemory) {
    this.#dispatcher = dispatcher;
    this.#memory = memory;
  }

  identify(token: Uint8Array<ArrayBuffer>, resource: string): Identity | Promise<Identity> {
    const known = this.#memory?.identify(token, resource);
    if (known !== undefined) return { status: Status.Ok, sessid: known.sessid, user: known.user, source: "lease" };
    return this.#pending >= MAX_PENDING ? UNAVAILABLE : this.#ask(token, resource);
  }

  #ask(token: Uint8Array<ArrayBuffer>, resource: string): Promise<Identity> {
    const writer = new ByteWriter();
    writeServiceRequest(writer, { kind: "identify", token, resource });
    this.#pending += 1;
    const queue = this.#open ?? this.#spare.pop() ?? this.#createQueue();
    this.#open = queue;
    return new Promise((resolve) => {
      queue.push({ packet: writer.finish(), receivedMs: performance.now(), resolve });
      this.#dispatcher.enqueue(queue);
    });
  }

  #createQueue(): LookupQueue {
    const queue: LookupQueue = new LookupQueue({
      taken: () => {
        if (this.#open === queue) this.#open = undefined;
      },
      answered: (lookups) => {
        this.#pending -= lookups;
        if (queue.isIdle) {
          if (this.#open === queue) this.#open = undefined;
          this.#spare.push(queue);
        } else if (!queue.isInFlight) this.#dispatcher.enqueue(queue);
      },
    });
    return queue;
  }
}

interface WaitingLookup {
  readonly packet: Uint8Array;
  readonly receivedMs: number;
  readonly resolve: (identity: Identity) => void;
}

/** What becomes of a queue's lookups. */
interface QueueObserver {
  /** A batch has taken the first ones. */
  taken(): void;
  /** So many got their responses. */
  answered(lookups: number): void;
}

/** Lookups that travel together. */
class LookupQueue implements PacketSource {
  readonly lane = Lane.Read;
  readonly #observer: QueueObserver;
  #waiting: WaitingLookup[] = [];
  #inFlight: WaitingLookup[] = [];

  constructor(observer: QueueObserver) {
    this.#observer = observer;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get isInFlight(): boolean {
    return this.#inFlight.length > 0;
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#inFlight.length === 0;
  }

  push(lookup: WaitingLookup): void {
    this.#waiting.push(lookup);
  }

  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void {
    let moved = 0;
    let bytesLeft = maxBytes;
    for (const { packet, receivedMs } of this.#waiting) {
      bytesLeft -= packet.byteLength;
      if (moved === maxPackets || bytesLeft < 0) break;
      batch.add(this, packet, 1, receivedMs);
      moved += 1;
    }
    if (moved === 0) return;
    this.#inFlight.push(...this.#waiting.splice(0, moved));
    this.#observer.taken();
  }

  expire(beforeMs: number): void {
    const fresh = this.#waiting.findIndex(({ receivedMs }) => receivedMs >= beforeMs);
    const expired = this.#waiting.splice(0, fresh < 0 ? this.#waiting.length : fresh);
    for (const { resolve } of expired) resolve(UNAVAILABLE);
    if (expired.length > 0) this.#observer.answered(expired.length);
  }

  receiveResponses(responses: Uint8Array): void {
    const answered = this.#inFlight;
    this.#inFlight = [];
    let at = 0;
    for (const { resolve } of answered) {
      const size = packetSizeAt(responses, at);
      resolve(identityIn(responses.subarray(at, at + size)));
      at += size;
    }
    this.#observer.answered(answered.length);
  }
}

/** The identity in a response packet: of the edge, or by the bridge for it. An edge that does not know the packet says ErrorResponse. */
function identityIn(packet: Uint8Array): Identity {
  const response = decodeServiceResponse(packet);
  if (response.kind !== "identify" || response.session === null || response.status !== Status.Ok) {
    return { ...UNAVAILABLE, status: response.status };
  }
  const { sessid, user } = response.session;
  return { status: Status.Ok, sessid, user: user ?? "", source: "store" };
}
