import { exports } from "cloudflare:workers";
import { vi } from "vitest";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder } from "../../../protocol/packet-framing.ts";
import {
  decodePlayerPacket,
  type Join,
  type PlayerPacket,
  writePlayerPacket,
} from "../../../protocol/player-packets.ts";

/** What a player's packets look like when they are told apart by kind. */
export type Received<K extends PlayerPacket["kind"]> = Extract<PlayerPacket, { kind: K }>;

const DEADLINE_MS = 30_000;

/** A player that does only what a test says: no acks, no heartbeat, no reconnect by itself. */
export class RoomPlayer {
  readonly room: string;
  readonly packets: PlayerPacket[] = [];
  readonly texts: string[] = [];
  /** How many WebSocket messages have come. */
  messages = 0;
  closeCode: number | undefined;
  readonly #socket: WebSocket;

  private constructor(room: string, socket: WebSocket) {
    this.room = room;
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#take(data));
    socket.addEventListener("close", ({ code }) => {
      this.closeCode = code;
    });
    socket.accept();
  }

  /** Dials; the upgrade carries `headers`, or the token as Bearer. */
  static async dial(room: string, credential: string | Record<string, string>): Promise<RoomPlayer> {
    const shown = typeof credential === "string" ? { Authorization: `Bearer ${credential}` } : credential;
    const request = new Request(`https://edge.test/v1/rooms/${room}/socket`, {
      headers: { Upgrade: "websocket", ...shown },
    });
    const { status, webSocket } = await exports.default.fetch(request);
    if (webSocket === null) throw new Error(`the upgrade was answered with ${status}`);
    webSocket.binaryType = "arraybuffer";
    return new RoomPlayer(room, webSocket);
  }

  /** Dials and joins afresh; resolves when the replay is over. */
  static async join(room: string, credential: string, join: Partial<Join> = {}): Promise<RoomPlayer> {
    const player = await RoomPlayer.dial(room, credential);
    player.send(joinPacket(room, join));
    await player.first("ack");
    return player;
  }

  /** Sends packets as one message. */
  send(...packets: readonly PlayerPacket[]): void {
    const writer = new ByteWriter();
    for (const packet of packets) writePlayerPacket(writer, packet);
    this.#socket.send(writer.finish());
  }

  sendRaw(message: Uint8Array | string): void {
    this.#socket.send(message);
  }

  publish(seq: number, text: string, to = 0): void {
    this.send({ kind: "publish", seq, to, body: new TextEncoder().encode(text) });
  }

  /** The connection is lost, as far as the room can see. */
  drop(): void {
    this.#socket.close(1000, "dropped");
  }

  all<K extends PlayerPacket["kind"]>(kind: K): Received<K>[] {
    return this.packets.filter((packet): packet is Received<K> => packet.kind === kind);
  }

  /** The bodies of the messages delivered so far. */
  get said(): string[] {
    return this.all("deliver").map(({ body }) => new TextDecoder().decode(body));
  }

  async first<K extends PlayerPacket["kind"]>(kind: K): Promise<Received<K>> {
    const packet = await this.until(() => this.all(kind)[0]);
    if (packet === undefined) throw new Error(`no ${kind}`);
    return packet;
  }

  /** Waits until it has been told so many messages, and returns them. */
  async heard(count: number): Promise<string[]> {
    await this.until(() => this.all("deliver").length >= count);
    return this.said;
  }

  /** Waits for the Closed packet and the close; both say the same code, which is returned. */
  async closed(): Promise<number> {
    const { code } = await this.first("closed");
    await this.until(() => this.closeCode !== undefined);
    if (this.closeCode !== 4000 + code) throw new Error(`Closed(${code}), but closed with ${this.closeCode}`);
    return code;
  }

  until<T>(probe: () => T): Promise<T> {
    return vi.waitUntil(probe, { timeout: DEADLINE_MS, interval: 5 });
  }

  #take(data: ArrayBuffer | string): void {
    if (typeof data === "string") {
      this.texts.push(data);
      return;
    }
    this.messages += 1;
    new PacketDecoder(MAX_PLAYER_PACKET_BYTES).push(new Uint8Array(data), (packet) => {
      // The decoder's bytes are valid until this returns.
      this.packets.push(decodePlayerPacket(packet.slice()));
    });
  }
}

/** A Join without a token: on a WebSocket the upgrade has shown it. */
export function joinPacket(room: string, join: Partial<Join> = {}): Join {
  return { kind: "join", token: new Uint8Array(20), room, epoch: 0, delivered: 0, attempt: 1, ...join };
}
