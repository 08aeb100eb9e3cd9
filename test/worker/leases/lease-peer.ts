import { decodeHubMessage, encodeLeaseMessage, type HubMessage } from "../../../protocol/leases/lease-messages.ts";
import { API_KEY, ask } from "../routes/edge-client.ts";

const RENEWAL_INTERVAL_MS = 50;

/** A message of one kind. */
type MessageOf<Kind extends HubMessage["kind"]> = Extract<HubMessage, { kind: Kind }>;

/** A bridge's end of the connection to the hub, which does only what a test says. */
export class LeasePeer {
  readonly messages: HubMessage[] = [];
  /** Whether it acks each message that must be acked as soon as it comes. */
  acks = false;
  closeCode: number | undefined;
  readonly #socket: WebSocket;
  #renewals = 0;
  #changed = Promise.withResolvers<void>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      const message = decodeHubMessage(new Uint8Array(data as ArrayBuffer));
      this.messages.push(message);
      if (this.acks && (message.kind === "changes" || message.kind === "reset")) this.ack(message.number);
      this.#notify();
    });
    socket.addEventListener("close", ({ code }) => {
      this.closeCode = code;
      this.#notify();
    });
    socket.accept();
  }

  static async dial(): Promise<LeasePeer> {
    const { webSocket, status } = await dialHub();
    if (webSocket === null) throw new Error(`the edge responded with ${status}`);
    return new LeasePeer(webSocket);
  }

  /**
   * Renews until that is granted, as the hub does not grant every renewal. Resolves with the time at which the renewal was sent that
   * was granted, epoch ms.
   */
  async lease(): Promise<number> {
    const sentMs = new Map<number, number>();
    for (;;) {
      sentMs.set(this.renew(), Date.now());
      await Promise.race([this.#changed.promise, scheduler.wait(RENEWAL_INTERVAL_MS)]);
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

/** The edge's response to a bridge's upgrade; a null header is left out. */
export function dialHub(headers: Readonly<Record<string, string | null>> = {}): Promise<Response> {
  const sent = { Upgrade: "websocket", Authorization: `Bearer ${API_KEY}`, ...headers };
  const shown = Object.entries(sent).filter((entry): entry is [string, string] => entry[1] !== null);
  return ask("/v1/leases", { headers: shown });
}
