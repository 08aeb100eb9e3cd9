import { io } from "socket.io-client";
import { webSocketTransport } from "../../client/node/web-socket-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import { parseToken } from "../../protocol/session-token.ts";

/** A player with the client that its side offers, set up as that one's defaults are. */
export interface ResumingPlayer {
  say(text: string): void;
  /** Whether it is in its room, on the seat that it had. */
  readonly isEstablished: boolean;
}

export interface PlayerEvents {
  heard(text: string): void;
  /** {@link ResumingPlayer.isEstablished} may have changed. */
  changed(): void;
}

export interface PlayerOptions extends PlayerEvents {
  readonly port: number;
  readonly room: string;
}

/** Our client, by WebSocket. */
export function artoriaPlayer({ port, room, heard, changed }: PlayerOptions, tokenText: string): ResumingPlayer {
  const token = parseToken(tokenText);
  if (token === undefined) throw new Error("a token that is none");
  const transport = webSocketTransport({ edgeUrl: `http://127.0.0.1:${port}`, token });
  const player = new ReliableConnection({ transport, room });
  player.on("message", ({ body }) => heard(Buffer.from(body).toString()));
  player.on("state", changed);
  for (const kind of ["gap", "handoverFailed", "closed"] as const) {
    player.on(kind, () => {
      throw new Error(`a player of ours met ${kind}`);
    });
  }
  player.connect();
  return {
    say: (text) => void player.send(Buffer.from(text)),
    get isEstablished() {
      return player.state === "Established";
    },
  };
}

/** Socket.IO's client. `delayMs` in place of its default delay before it connects again. */
export function socketIoPlayer({ port, room, heard, changed }: PlayerOptions, delayMs?: number): ResumingPlayer {
  const delay = delayMs === undefined ? {} : { reconnectionDelay: delayMs, randomizationFactor: 0 };
  const socket = io(`http://127.0.0.1:${port}`, {
    transports: ["websocket"],
    forceNew: true,
    query: { room },
    ...delay,
  });
  let connectedBefore = false;
  socket.on("m", (text: string) => heard(text));
  socket.on("connect", () => {
    if (connectedBefore && !socket.recovered) throw new Error("Socket.IO did not recover a connection");
    connectedBefore = true;
    changed();
  });
  return {
    say: (text) => void socket.emit("m", text),
    get isEstablished() {
      return socket.connected;
    },
  };
}
