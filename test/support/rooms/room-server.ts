import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { type WebSocket, WebSocketServer } from "ws";
import { type ClosedCode, WEBSOCKET_CLOSE_BASE } from "../../../protocol/closed-codes.ts";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder } from "../../../protocol/packet-framing.ts";
import { decodePlayerPacket } from "../../../protocol/player-packets.ts";
import type { RoomLimits } from "../../../protocol/reliable/room/room-limits.ts";
import { formatToken } from "../../../protocol/session-token.ts";
import { type Certificate, selfSigned } from "../peers/certificates.ts";
import { RealTimeRoom } from "./real-time-room.ts";

/** A room behind real sockets: TLS as a bridge's player port, and WebSocket as the edge. A token names its own user. */
export class RoomServer {
  readonly room: RealTimeRoom;
  readonly certificate: Certificate;
  readonly #tls: TlsServer;
  readonly #http: Server;
  readonly #sockets = new Set<{ destroy(): void }>();
  /** How often the text `ping` was received. */
  pings = 0;
  /** How many binary WebSocket messages were received. */
  readonly messages: Buffer[] = [];
  /** The path and the credential of each upgrade. */
  readonly upgrades: { url: string; authorization: string | undefined; protocols: string | undefined }[] = [];

  private constructor(room: RealTimeRoom, certificate: Certificate) {
    this.room = room;
    this.certificate = certificate;
    this.#tls = createTlsServer({ ...certificate, minVersion: "TLSv1.3" }, (socket) => this.#takeTls(socket));
    this.#http = createHttpServer();
    const upgrades = new WebSocketServer({ server: this.#http, handleProtocols: () => "artoria.v1" });
    upgrades.on("connection", (socket, request) => this.#takeWebSocket(socket, request));
    for (const server of [this.#tls, this.#http]) {
      server.on("connection", (socket) => {
        this.#sockets.add(socket);
        socket.on("close", () => this.#sockets.delete(socket));
      });
    }
  }

  static async open(limits: Partial<RoomLimits> = {}, room = "lobby"): Promise<RoomServer> {
    const server = new RoomServer(new RealTimeRoom(room, limits), await selfSigned("localhost"));
    server.#tls.listen(0, "127.0.0.1");
    server.#http.listen(0, "127.0.0.1");
    await Promise.all([once(server.#tls, "listening"), once(server.#http, "listening")]);
    return server;
  }

  get tlsPort(): number {
    return (this.#tls.address() as AddressInfo).port;
  }

  get httpPort(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  /** Destroys every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.room.close();
    this.cut();
    this.#tls.close();
    this.#http.close();
    await Promise.all([once(this.#tls, "close"), once(this.#http, "close")]);
  }

  /** As the bridge does: the first packet says whose connection it is. */
  #takeTls(socket: TLSSocket): void {
    const decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
    let connection: number | undefined;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk, (packet) => {
        connection ??= this.room.connect(userOfJoin(packet), {
          send: (bytes) => socket.write(bytes),
          close: () => socket.end(),
        });
        this.room.receive(connection, packet);
      });
    });
    socket.on("close", () => connection !== undefined && this.room.disconnect(connection));
  }

  #takeWebSocket(socket: WebSocket, request: IncomingMessage): void {
    const { url = "", headers } = request;
    const protocols = headers["sec-websocket-protocol"];
    this.upgrades.push({ url, authorization: headers.authorization, protocols });
    const shown = headers.authorization ?? protocols ?? "";
    const connection = this.room.connect(/[\w-]{27}/.exec(shown)?.[0] ?? "nobody", {
      send: (bytes) => socket.send(bytes),
      close: (code: ClosedCode, message: string) => socket.close(WEBSOCKET_CLOSE_BASE + code, message),
    });
    socket.on("error", () => undefined);
    socket.on("message", (data: Buffer, isBinary) => {
      if (isBinary) {
        this.messages.push(data);
        this.room.receive(connection, data);
      } else if (data.toString() === "ping") {
        this.pings += 1;
        socket.send("pong");
      }
    });
    socket.on("close", () => this.room.disconnect(connection));
  }
}

function userOfJoin(packet: Uint8Array): string {
  const join = decodePlayerPacket(packet);
  return join.kind === "join" ? formatToken(join.token) : "nobody";
}
