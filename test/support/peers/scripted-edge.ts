import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { MAX_PLAYER_PACKET_BYTES } from "../../../protocol/packet-framing.ts";
import type { Join, PlayerPacket } from "../../../protocol/player-packets.ts";
import { decodePlayerPacket } from "../../../protocol/player-packets.ts";
import { Changes } from "../changes.ts";
import { splitPackets } from "../packets/cut-and-mutate.ts";
import { playerBytes } from "./player-peer.ts";

/** One WebSocket that a bridge has opened. */
export class EdgeSocket {
  readonly socket: WebSocket;
  readonly url: string;
  readonly authorization: string | undefined;
  /** Each binary message, taken apart: a message that is not whole packets fails the test. */
  readonly messages: PlayerPacket[][] = [];
  readonly texts: string[] = [];
  closeCode: number | undefined;

  constructor(
    socket: WebSocket,
    request: IncomingMessage,
    onJoin: ((join: Join, room: EdgeSocket) => void) | undefined,
  ) {
    this.socket = socket;
    this.url = request.url ?? "";
    this.authorization = request.headers.authorization;
    socket.on("message", (data: Buffer, isBinary) => {
      if (!isBinary) {
        this.texts.push(data.toString());
        return;
      }
      const packets = splitPackets(MAX_PLAYER_PACKET_BYTES, [data]).map(decodePlayerPacket);
      this.messages.push(packets);
      for (const packet of packets) if (packet.kind === "join") onJoin?.(packet, this);
    });
    socket.on("error", () => undefined);
    socket.on("close", (code) => {
      this.closeCode = code;
    });
  }

  /** All packets that came, in order. */
  get packets(): PlayerPacket[] {
    return this.messages.flat();
  }

  send(...packets: readonly PlayerPacket[]): void {
    this.socket.send(playerBytes(...packets));
  }

  /** Responds to a fresh Join with Joined. */
  letIn(): void {
    const numbers = { member: 1, epoch: 9, offset: 0, received: 0, retentionSeconds: 30, heartbeatSeconds: 10 };
    this.send({ kind: "joined", resumed: false, ...numbers });
  }
}

/** An edge whose rooms do what a test says: a real WebSocket server, for the faults that a real edge does not show. */
export class ScriptedEdge {
  readonly sockets: EdgeSocket[] = [];
  /** What becomes of an upgrade: it is accepted, refused with a status, or left without a response. */
  upgrade: "accept" | "hang" | number = "accept";
  /** Upgrades that bridges have asked for, hanging ones included. */
  upgradeRequests = 0;
  /** Called with each Join that comes: it may respond. */
  onJoin: ((join: Join, room: EdgeSocket) => void) | undefined;
  readonly #server: Server = createServer();
  readonly #webSockets = new WebSocketServer({ noServer: true });
  readonly #open = new Set<Duplex>();
  readonly #changes = new Changes();

  static async open(): Promise<ScriptedEdge> {
    const edge = new ScriptedEdge();
    edge.#server.on("connection", (socket) => {
      edge.#open.add(socket);
      socket.on("close", () => edge.#open.delete(socket));
    });
    edge.#server.on("upgrade", (request, socket, head) => edge.#upgrade(request, socket, head));
    edge.#server.listen(0, "127.0.0.1");
    await once(edge.#server, "listening");
    return edge;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The WebSocket with this index, once it is there. */
  async socket(index = 0): Promise<EdgeSocket> {
    await this.#changes.until(() => this.sockets.length > index);
    return this.sockets[index] as EdgeSocket;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.upgradeRequests += 1;
    if (this.upgrade === "hang") return;
    if (this.upgrade === "accept") {
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.sockets.push(new EdgeSocket(webSocket, request, this.onJoin));
        this.#changes.notify();
      });
    } else {
      socket.end(`HTTP/1.1 ${this.upgrade} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    }
  }
}
