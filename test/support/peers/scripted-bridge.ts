import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Connector } from "../../../client/connector.ts";
import { MAX_SERVICE_PACKET_BYTES, PacketDecoder } from "../../../protocol/packet-framing.ts";
import {
  type DecodedServiceRequest,
  decodeServiceKey,
  decodeServiceRequest,
  SERVICE_KEY_REQUEST_TYPE,
} from "../../../protocol/service-packets.ts";
import { decodeWatchRequest, type WatchRequest } from "../../../protocol/watch-packets.ts";
import { Changes } from "../changes.ts";
import { PacketBytes } from "../packets/packet-bytes.ts";

/** A game-server port that answers nothing by itself: each test says what a bridge sends, and when. */
export class ScriptedBridge {
  readonly connections: ScriptedConnection[] = [];
  readonly #changes = new Changes();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((socket) => {
      this.connections.push(new ScriptedConnection(socket));
      this.#changes.notify();
    });
  }

  static async open(): Promise<ScriptedBridge> {
    const bridge = new ScriptedBridge();
    bridge.#server.listen(0, "127.0.0.1");
    await once(bridge.#server, "listening");
    return bridge;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connector(): Connector {
    return new Connector({ host: "127.0.0.1", port: this.port });
  }

  /** The connection with this number, from 0 on, once it is there. */
  async connection(index: number): Promise<ScriptedConnection> {
    await this.#changes.until(() => this.connections.length > index);
    return this.connections[index] as ScriptedConnection;
  }

  async close(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

/** The first packet of a connection that shows a service key. */
export interface ShownKey {
  readonly key: string;
}

type ReceivedPacket = DecodedServiceRequest | WatchRequest | ShownKey;

/** One connection to it. */
export class ScriptedConnection {
  readonly socket: Socket;
  /** What has been received, in order. */
  readonly requests: ReceivedPacket[] = [];
  readonly #changes = new Changes();

  constructor(socket: Socket) {
    this.socket = socket;
    const decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      decoder.push(chunk, (packet) => {
        this.requests.push(readPacket(packet));
      });
      this.#changes.notify();
    });
  }

  /** The request with this number, from 0 on, once it has come. */
  async request(index: number): Promise<ReceivedPacket> {
    await this.#changes.until(() => this.requests.length > index);
    return this.requests[index] as ReceivedPacket;
  }

  /** Sends these packets as one chunk. */
  send(...packets: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(packets));
  }
}

function readPacket(packet: Uint8Array): ReceivedPacket {
  const request = decodeServiceRequest(packet);
  if (request.kind !== "unknown") return request;
  return request.type === SERVICE_KEY_REQUEST_TYPE ? { key: decodeServiceKey(packet) } : decodeWatchRequest(packet);
}

/** A response that has only a status. */
export function statusPacket(type: number, status: number): Uint8Array {
  return new PacketBytes().i8(status).packet(type);
}

/** A WatchResponse. */
export function watchPacket(status: number, position = ""): Uint8Array {
  return new PacketBytes().i8(status).string(position).packet(16);
}

/** A SessionEnded. */
export function endPacket(reason: number, sessid: number, position: string, user = ""): Uint8Array {
  return new PacketBytes().u8(reason).i32(sessid).u64(1_763_775_123_456).string(position).string(user).packet(17);
}
