import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import {
  decodeBridgeMessage,
  encodeLeaseMessage,
  type HubMessage,
  type StatusReport,
} from "../../../protocol/leases/lease-messages.ts";
import { Changes } from "../changes.ts";

/** One WebSocket of a bridge to a {@link FakeHub}. */
export class HubPeer {
  readonly socket: WebSocket;
  readonly headers: IncomingHttpHeaders;
  /** The numbers of the renewals, and of the changes that were acked. */
  readonly renewals: number[] = [];
  readonly acks: number[] = [];
  readonly reports: StatusReport[] = [];
  closeCode: number | undefined;
  readonly #changes = new Changes();
  #lastChanges = 0;

  constructor(socket: WebSocket, { headers }: IncomingMessage, hub: FakeHub) {
    this.socket = socket;
    this.headers = headers;
    socket.on("message", (data: Buffer) => {
      const message = decodeBridgeMessage(data);
      if (message.kind === "ack") this.acks.push(message.number);
      else if (message.kind === "status") this.reports.push(message);
      else {
        this.renewals.push(message.renewal);
        if (hub.grants) this.send({ kind: "granted", renewal: message.renewal });
      }
      this.#changes.notify();
    });
    socket.on("error", () => undefined);
    socket.on("close", (code) => {
      this.closeCode = code;
      this.#changes.notify();
    });
  }

  send(message: HubMessage): void {
    this.socket.send(encodeLeaseMessage(message));
  }

  /** Sends that these sessions have ended or changed; without any, a Reset. Resolves when the bridge has acked it. */
  async change(...sessids: readonly number[]): Promise<void> {
    this.#lastChanges += 1;
    const number = this.#lastChanges;
    this.send(sessids.length > 0 ? { kind: "changes", number, sessids } : { kind: "reset", number });
    await this.#changes.until(() => this.acks.includes(number));
  }

  /** Asks for the bridge's status. */
  async status(): Promise<StatusReport> {
    const before = this.reports.length;
    this.send({ kind: "statusRequest" });
    await this.#changes.until(() => this.reports.length > before);
    return this.reports[before] as StatusReport;
  }

  /** Resolves with the code with which the WebSocket was closed. */
  async closed(): Promise<number | undefined> {
    await this.#changes.until(() => this.closeCode !== undefined);
    return this.closeCode;
  }
}

/** A hub of leases that does what a test says, on the server of a PacketEdge. */
export class FakeHub {
  /** The status of the response to an upgrade; undefined: it is accepted. An edge that knows no leases says 404. */
  refusal: number | undefined = 404;
  /** REVOCATION_BOUND_MS. The longest, so that no lease runs out by itself, however slow the machine. */
  boundMs = 60_000;
  /** Whether each renewal is granted as it comes. */
  grants = true;
  /** More headers of the response to an upgrade, as they are written: `Name: value`. */
  readonly headers: string[] = [];
  /** Whether connections get a Welcome. */
  welcomes = true;
  /** Upgrades that bridges have asked for. */
  dials = 0;
  readonly peers: HubPeer[] = [];
  readonly #webSockets = new WebSocketServer({ noServer: true });
  readonly #changes = new Changes();

  constructor() {
    this.#webSockets.on("headers", (lines) => lines.push(...this.headers));
  }

  /** The connection with this index, once it is there. */
  async peer(index = 0): Promise<HubPeer> {
    await this.#changes.until(() => this.peers.length > index);
    return this.peers[index] as HubPeer;
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.dials += 1;
    if (this.refusal !== undefined || request.url !== "/v1/leases") {
      const status = this.refusal ?? 404;
      const more = this.headers.map((line) => `${line}\r\n`).join("");
      socket.end(`HTTP/1.1 ${status} Refused\r\n${more}Content-Length: 0\r\nConnection: close\r\n\r\n`);
      return;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const peer = new HubPeer(webSocket, request, this);
      this.peers.push(peer);
      if (this.welcomes) peer.send({ kind: "welcome", boundMs: this.boundMs });
      this.#changes.notify();
    });
  }

  async close(): Promise<void> {
    for (const { socket } of this.peers) {
      if (socket.readyState === socket.CLOSED) continue;
      const gone = once(socket, "close");
      socket.terminate();
      await gone;
    }
  }
}
