/** Opens connections to rooms: TLS over TCP, or a WebSocket. Each reports to its {@link TransportEvents}. */
export interface Transport {
  /** The heartbeat: `packet` is the packet Ping over TCP, `text` the text `ping` on a WebSocket. */
  readonly heartbeat: "packet" | "text";
  /** 20 bytes for Join: zeroes where the upgrade carries the credential. */
  readonly joinToken: Uint8Array;
  /** Begins to connect. It never throws: failures are reported as {@link TransportEvents.lost}. */
  open(room: string, events: TransportEvents): TransportConnection;
}

/** The events of a connection, in this order, never before {@link Transport.open} has returned. */
export interface TransportEvents {
  /** TCP is connected, TLS is not yet. A transport that cannot observe this skips it. */
  connected(): void;
  /** Bytes can be sent. */
  opened(): void;
  /** Bytes were received, split anywhere. The transport may reuse the buffer when this returns. */
  received(bytes: Uint8Array): void;
  /** A text message was received. */
  receivedText(): void;
  /** The connection has ended; reported at least once. `code` is the Closed code that a WebSocket's close code carried. */
  lost(reason: string, code?: number): void;
}

/** One connection. Calls before it is open, or after its end, do nothing. */
export interface TransportConnection {
  /** Bytes written and not yet taken by the system. */
  readonly bufferedBytes: number;
  /** Sends bytes: on a WebSocket they are one message. */
  write(bytes: Uint8Array<ArrayBuffer>): void;
  writeText(text: string): void;
  /** Closes the connection after what was written. A peer that does not respond delays this for a short time only. */
  close(): void;
}
