import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES, PacketDecoder } from "../../../protocol/packet-framing.ts";
import { type ServiceResponsePacket, writeServiceRequest } from "../../../protocol/service-packets.ts";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import {
  decodeBridgePacket,
  type WatchNotice,
  type WatchRequest,
  type WatchResponse,
  writeWatchRequest,
} from "../../../protocol/watch-packets.ts";
import { Changes } from "../changes.ts";

/** The packets of requests, one after the other. */
export function requestBytes(...requests: readonly ServiceRequest[]): Uint8Array {
  const writer = new ByteWriter();
  for (const request of requests) writeServiceRequest(writer, request);
  return writer.finish();
}

/** The packet of a WatchRequest. */
export function watchBytes(scope: WatchRequest["scope"], after: string | null = null): Uint8Array {
  const writer = new ByteWriter();
  writeWatchRequest(writer, { scope, after });
  return writer.finish();
}

/** What a bridge sends. */
export type GamePacket = ServiceResponsePacket | WatchResponse | WatchNotice;
export type GameResponse = ServiceResponsePacket | WatchResponse;

/** A game server at the other end of a bridge's port: it sends any bytes and keeps every response in order. */
export class GamePeer {
  readonly socket: Socket;
  readonly responses: GameResponse[] = [];
  /** What came without a request: ends, checkpoints, resets. */
  readonly notices: WatchNotice[] = [];
  /** Both, as they came. */
  readonly packets: GamePacket[] = [];
  /** The bridge has ended its side, or reset the connection. */
  ended = false;
  readonly #changes = new Changes();

  constructor(socket: Socket) {
    this.socket = socket;
    const decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk, (packet) => this.#receive(decodeBridgePacket(packet)));
      this.#changes.notify();
    });
    const end = (): void => {
      this.ended = true;
      this.#changes.notify();
    };
    socket.on("end", end).on("close", end).on("error", end);
  }

  /** Connects; `localAddress` is any of 127.0.0.0/8. With `allowHalfOpen` it keeps its side open when the bridge ends its own. */
  static async connect(
    { address: host, port }: AddressInfo,
    localAddress = "127.0.0.1",
    allowHalfOpen = false,
  ): Promise<GamePeer> {
    const socket = connect({ host, port, localAddress, allowHalfOpen });
    const peer = new GamePeer(socket.setNoDelay());
    await once(socket, "connect");
    return peer;
  }

  send(...requests: readonly ServiceRequest[]): void {
    this.socket.write(requestBytes(...requests));
  }

  /** Sends a WatchRequest, and resolves with its response, if it is the next one. */
  async watch(scope: WatchRequest["scope"], after: string | null = null): Promise<WatchResponse> {
    const before = this.responses.length;
    this.socket.write(watchBytes(scope, after));
    const response = (await this.received(before + 1)).at(before);
    if (response?.kind !== "watch") throw new Error(`another response: ${response?.kind}`);
    return response;
  }

  /** Resolves with the first `count` notices, once they are there. */
  async told(count: number): Promise<WatchNotice[]> {
    await this.#changes.until(() => this.notices.length >= count || this.ended);
    return this.notices.slice(0, count);
  }

  /** Resolves with the first `count` responses, once they are there. */
  async received(count: number): Promise<GameResponse[]> {
    await this.#changes.until(() => this.responses.length >= count || this.ended);
    return this.responses.slice(0, count);
  }

  /** Waits for the bridge to end the connection and returns all responses. */
  async untilEnded(): Promise<GameResponse[]> {
    await this.#changes.until(() => this.ended);
    return this.responses;
  }

  close(): void {
    this.socket.destroy();
  }

  #receive(packet: GamePacket): void {
    this.packets.push(packet);
    if (packet.kind === "ended" || packet.kind === "checkpoint" || packet.kind === "reset") this.notices.push(packet);
    else this.responses.push(packet);
  }
}
