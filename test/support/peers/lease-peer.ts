import {
  decodeHubMessage,
  encodeLeaseMessage,
  type HubMessage,
  type StatusReport,
} from "../../../protocol/leases/lease-messages.ts";

/** What the WebSockets of workerd and of `ws` have in common. */
interface PeerSocket {
  binaryType: string;
  send(frame: Uint8Array<ArrayBuffer> | string): void;
  close(code: number): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { readonly code: number }) => void): void;
}

const RENEWAL_INTERVAL_MS = 50;

/** A message of one kind. */
type MessageOf<Kind extends HubMessage["kind"]> = Extract<HubMessage, { kind: Kind }>;

/** A bridge's end of the connection to the hub, which does only what a test says. It runs in Node and in workerd. */
export class LeasePeer {
  readonly messages: HubMessage[] = [];
  /** Whether it acks each message that must be acked as soon as it comes. */
  acks = false;
  /** What it reports when it is asked; undefined: nothing. */
  reports: StatusReport | undefined;
  closeCode: number | undefined;
  readonly #socket: PeerSocket;
  #renewals = 0;
  #changed = Promise.withResolvers<void>();

  constructor(socket: PeerSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      const message = decodeHubMessage(new Uint8Array(data as ArrayBuffer));
      this.messages.push(message);
      if (this.acks && (message.kind === "changes" || message.kind === "reset")) this.ack(message.number);
      if (this.reports !== undefined && message.kind === "statusRequest") this.send(encodeLeaseMessage(this.reports));
      this.#notify();
    });
    socket.addEventListener("close", ({ code }) => {
      this.closeCode = code;
      this.#notify();
    });
  }

  /**
   * Renews until that is granted, as the hub does not grant every renewal. Resolves with the time at which the renewal was sent that
   * was granted, epoch ms.
   */
  async lease(): Promise<number> {
    const sentMs = new Map<number, number>();
    for (;;) {
      sentMs.set(this.renew(), Date.now());
      await Promise.race([this.#changed.promise, pause(RENEWAL_INTERVAL_MS)]);
      const granted = this.all("granted").findLast(({ renewal }) => sentMs.has(renewal));
      if (granted !== undefined) return sentMs.get(granted.renewal) ?? 0;
      if (this.closeCode !== undefined) throw new Error(`the connection was closed: ${this.closeCode}`);
    }
  }

  /** Sends a renewal and returns its number. */
  renew(): number {
    this.#renewals += 1;
    this.send(encodeLeaseMessage({ kind: "renew", renewal: this.#renewals }));
    return this.#renewals;
  }

  ack(number: number): void {
    this.send(encodeLeaseMessage({ kind: "ack", number }));
  }

  send(frame: Uint8Array<ArrayBuffer> | string): void {
    this.#socket.send(frame);
  }

  close(): void {
    if (this.closeCode === undefined) this.#socket.close(1000);
  }

  all<Kind extends HubMessage["kind"]>(kind: Kind): MessageOf<Kind>[] {
    return this.messages.filter((message) => message.kind === kind) as MessageOf<Kind>[];
  }

  /** The first message that was pushed about a session, when it has come. */
  changeOf(sessid: number): Promise<MessageOf<"changes">> {
    return this.until(() => this.all("changes").find(({ sessids }) => sessids.includes(sessid)));
  }

  /** Resolves when the next message has come, or the connection has ended. */
  next(): Promise<void> {
    return this.#changed.promise;
  }

  async until<T>(probe: () => T | undefined | false): Promise<T> {
    for (;;) {
      const value = probe();
      if (value !== undefined && value !== false) return value;
      await this.#changed.promise;
    }
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
