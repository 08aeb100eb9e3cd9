/** Makes connections to rooms: TLS over TCP, or a WebSocket. What happens to one is told to its {@link TransportEvents}. */
export interface Transport {
  /** Who answers the heartbeat: `packet` is Ping over TCP, `text` the text `ping` on a WebSocket. */
  readonly heartbeat: "packet" | "text";
  /** 20 bytes for Join: zeroes where the upgrade carries the credential. */
  readonly joinToken: Uint8Array;
  /** Begins to connect. It never throws: what goes wrong is told as {@link TransportEvents.lost}. */
  open(room: string, events: TransportEvents): TransportConnection;
}

/** What happens to a connection, in this order, never before {@link Transport.open} has returned. */
export interface TransportEvents {
  /** TCP is connected, TLS is not. Where that cannot be seen, it is not told. */
  connected(): void;
  /** Bytes may go. */
  opened(): void;
  /** Bytes came in, cut anywhere; they belong to the transport again when this returns. */
  received(bytes: Uint8Array): void;
  /** A text message came in. */
  receivedText(): void;
  /** The end, told at least once. `code` is the Closed code that a WebSocket's close code carried. */
  lost(reason: string, code?: number): void;
}

/** One connection. Calls before it is open, or after its end, do nothing. */
export interface TransportConnection {
  /** Bytes written and not yet taken by the system. */
  readonly bufferedBytes: number;
  /** Sends bytes: on a WebSocket they are one message. */
  write(bytes: Uint8Array<ArrayBuffer>): void;
  writeText(text: string): void;
  /** Ends the connection after what was written; a peer that does not answer cannot delay it for long. */
  close(): void;
}
