import { RawWebSocket } from "./raw-web-socket.ts";
import { BODY_BYTES, type MemberEvents, type RoomMember } from "./room-member.ts";

export interface SocketIoMemberOptions {
  readonly port: number;
  readonly ca?: string;
  readonly room: string;
  /** Distinguishes the players of a room; at most 6 digits. */
  readonly number: number;
}

/** What Engine.IO 4 puts in front of a packet, and Socket.IO 5 behind it (socket.io/docs/v4/socket-io-protocol). */
const PING = "2";
const PONG = "3";
const CONNECT = "40";
const EVENT = '42["m","';
const EVENT_START = Buffer.from(EVENT);
const NUMBER_DIGITS = 6;

/**
 * A player with Socket.IO's own packets on one WebSocket, as socket.io-client is with `transports: ["websocket"]`. A message
 * is a text, which costs Socket.IO one frame; bytes would cost it two.
 */
export class SocketIoMember implements RoomMember {
  readonly #socket: RawWebSocket;
  readonly #message: string;

  private constructor(socket: RawWebSocket, message: string) {
    this.#socket = socket;
    this.#message = message;
  }

  /** Resolves when the player is connected, and in its room. */
  static async open({ port, ca, room, number }: SocketIoMemberOptions, events: MemberEvents): Promise<SocketIoMember> {
    const name = String(number).padStart(NUMBER_DIGITS, "0");
    const ownStart = Buffer.from(EVENT + name);
    let connected = () => {};
    const ready = new Promise<void>((resolve) => {
      connected = resolve;
    });
    const socket = await RawWebSocket.open({
      port,
      path: `/socket.io/?EIO=4&transport=websocket&room=${room}`,
      ...(ca !== undefined && { ca }),
      onMessage: (payload) => {
        if (payload.byteLength > EVENT.length + BODY_BYTES && startsWith(payload, EVENT_START)) {
          events.delivered(1, startsWith(payload, ownStart) ? 1 : 0);
        } else if (payload.toString("latin1") === PING) socket.sendText(PONG);
        else if (payload.toString("latin1", 0, CONNECT.length) === CONNECT) connected();
      },
    });
    socket.sendText(CONNECT);
    await ready;
    return new SocketIoMember(socket, `${EVENT}${name.padEnd(BODY_BYTES, "a")}"]`);
  }

  speak(count: number): void {
    for (let said = 0; said < count; said++) this.#socket.sendText(this.#message);
  }

  stop(): Promise<void> {
    return this.#socket.stop();
  }
}

/** A loop, for a call out of JavaScript costs more than so few bytes. */
function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  for (let at = 0; at < start.byteLength; at++) if (bytes[at] !== start[at]) return false;
  return true;
}
