import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder } from "../../../protocol/packet-framing.ts";
import {
  decodePlayerPacket,
  type Join,
  type PlayerPacket,
  writePlayerPacket,
} from "../../../protocol/player-packets.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Changes } from "../changes.ts";

/** The packets' bytes, one behind the other. */
export function playerBytes(...packets: readonly PlayerPacket[]): Uint8Array {
  const writer = new ByteWriter();
  for (const packet of packets) writePlayerPacket(writer, packet);
  return writer.finish();
}

/** A Publish to everybody. */
export function publish(seq: number, text: string): PlayerPacket {
  return { kind: "publish", seq, to: 0, body: new TextEncoder().encode(text) };
}

/** A Join of the player `sessid`, fresh if nothing else is said. */
export function join(sessid: number, fields: Partial<Join> = {}): Join {
  const token = makeToken(sessid, new Uint8Array(16).fill(sessid));
  return { kind: "join", token, room: "lobby", epoch: 0, delivered: 0, attempt: 1, ...fields };
}

/** A player at the other end of a bridge's port: it sends any bytes, and keeps every packet in order. */
export class PlayerPeer {
  readonly socket: TLSSocket;
  readonly packets: PlayerPacket[] = [];
  /** The bridge has ended its side, or reset the connection. */
  ended = false;
  readonly #changes = new Changes();

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    const decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk, (packet) => this.packets.push(decodePlayerPacket(Uint8Array.from(packet))));
      this.#changes.notify();
    });
    const end = (): void => {
      this.ended = true;
      this.#changes.notify();
    };
    // As a client does: the bridge would wait for its half.
    socket.on("end", () => socket.destroy());
    socket.on("end", end).on("close", end).on("error", end);
  }

  /** Connects; `localAddress` is any of 127.0.0.0/8. `header` goes before TLS, as a proxy's does. */
  static async connect(
    address: AddressInfo,
    ca: string,
    localAddress = "127.0.0.1",
    header: Uint8Array = new Uint8Array(0),
  ): Promise<PlayerPeer> {
    const { address: host, port } = address;
    const below = connect({ host, port, localAddress });
    below.write(header);
    const socket = connectTls({ socket: below, host, ca, minVersion: "TLSv1.3" });
    const peer = new PlayerPeer(socket);
    // A refused one is a peer that has ended.
    await Promise.race([once(socket, "secureConnect"), once(socket, "close")]).catch(() => undefined);
    socket.setNoDelay();
    return peer;
  }

  send(...packets: readonly PlayerPacket[]): void {
    this.socket.write(playerBytes(...packets));
  }

  /** The first packet of this kind, once it is there. */
  async received<K extends PlayerPacket["kind"]>(kind: K): Promise<Extract<PlayerPacket, { readonly kind: K }>> {
    const isKind = (packet: PlayerPacket): packet is Extract<PlayerPacket, { readonly kind: K }> =>
      packet.kind === kind;
    await this.#changes.until(() => this.packets.some(isKind) || this.ended);
    const found = this.packets.find(isKind);
    if (found === undefined) throw new Error(`the connection ended without ${kind}`);
    return found;
  }

  /** Waits for the bridge to end the connection, and returns its last packet. */
  async lastPacket(): Promise<PlayerPacket | undefined> {
    await this.#changes.until(() => this.ended);
    return this.packets.at(-1);
  }

  close(): void {
    this.socket.destroy();
  }
}
