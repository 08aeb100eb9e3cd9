/** The header of every packet: `size u16, type u16`, little-endian (docs/wire-protocol.md, "Framing"). */
export const HEADER_BYTES = 2 + 2;

/** The largest service packet in bytes, its header included (docs/wire-protocol.md, "Framing"). */
export const MAX_SERVICE_PACKET_BYTES = 1024;

/** The largest player packet in bytes, its header included (docs/wire-protocol.md, "Framing"). */
export const MAX_PLAYER_PACKET_BYTES = 16 * 1024;

/** The type of the packet that starts at `at`. The caller has at least the 4 bytes of its header. */
export function packetType(bytes: Uint8Array, at = 0): number {
  return (bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8);
}

/** The size in bytes, header included, of the packet that starts at `at`. The caller has at least its first 2 bytes. */
export function packetSizeAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

/** Whether every packet in `run` has this type. `run` holds whole packets only. */
export function isEveryPacket(run: Uint8Array, type: number): boolean {
  for (let at = 0; at < run.byteLength; at += packetSizeAt(run, at)) {
    if (packetType(run, at) !== type) return false;
  }
  return true;
}

/** Stable codes for the ways to break the wire protocol. Callers may match a code; messages may change. */
export type ProtocolErrorCode =
  | "size_too_small"
  | "size_too_large"
  | "payload_too_short"
  | "payload_too_long"
  | "bad_utf8"
  | "out_of_range"
  | "unknown_type"
  | "unexpected_packet";

/**
 * The peer broke the wire protocol (docs/wire-protocol.md). The message names the field and the allowed values. It never
 * contains a session id or a secret, so it may be sent to the peer and logged.
 */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
  }
}

/**
 * Splits a byte stream into whole packets. A chunk may end anywhere, also inside a header. The decoder keeps a copy of at most
 * one incomplete packet, so it never holds more than `maxPacketBytes`.
 */
export class PacketDecoder {
  readonly #maxPacketBytes: number;
  /** A packet whose end has not been received yet; its first `#heldBytes` bytes are filled. */
  #held: Uint8Array;
  #heldBytes = 0;
  #broken: ProtocolError | undefined;

  /** `maxPacketBytes`: {@link MAX_SERVICE_PACKET_BYTES} or {@link MAX_PLAYER_PACKET_BYTES}. */
  constructor(maxPacketBytes: number) {
    this.#maxPacketBytes = maxPacketBytes;
    this.#held = new Uint8Array(HEADER_BYTES);
  }

  /** How many bytes of an incomplete packet have been received; 0 between packets. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Calls `onPacket` for each packet that `chunk` completes, in order. The packet, header included, is a view of `chunk` or of
   * the decoder's own buffer, and is valid until `onPacket` returns.
   *
   * @throws ProtocolError `size_too_small` or `size_too_large`, after `onPacket` was called for all packets before the broken one.
   *   Where the next packet starts is unknown from then on, so every later call throws the same error.
   */
  push(chunk: Uint8Array, onPacket: (packet: Uint8Array) => void): void {
    this.pushRuns(chunk, (run) => {
      for (let at = 0; at < run.byteLength; ) {
        const end = at + packetSizeAt(run, at);
        onPacket(run.subarray(at, end));
        at = end;
      }
    });
  }

  /**
   * As {@link push}, for a caller that forwards packets without reading each one: `onRun` gets all whole packets that are
   * adjacent in memory, and their number. A run stays valid as long as `chunk` does; the decoder does not keep or change it. Returns
   * how many packets the chunk completed.
   */
  pushRuns(chunk: Uint8Array, onRun: (run: Uint8Array, packets: number) => void): number {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#heldBytes === 0) return this.#readFrom(chunk, 0, onRun);
    let at = 0;
    let packets = 0;
    while (at < chunk.byteLength && this.#heldBytes > 0) {
      at = this.#continueHeld(chunk, at, onRun);
      if (this.#heldBytes === 0) packets += 1;
    }
    return at < chunk.byteLength ? packets + this.#readFrom(chunk, at, onRun) : packets;
  }

  /** Returns the number of whole packets. */
  #readFrom(chunk: Uint8Array, start: number, onRun: (run: Uint8Array, packets: number) => void): number {
    let at = start;
    let packets = 0;
    let size: number | undefined;
    try {
      while (chunk.byteLength - at >= 2) {
        size = this.#sizeAt(chunk, at);
        if (chunk.byteLength - at < size) break;
        at += size;
        packets += 1;
        size = undefined;
      }
    } finally {
      // Also when the next size is broken: the packets before it are valid.
      if (packets > 0) onRun(at - start === chunk.byteLength ? chunk : chunk.subarray(start, at), packets);
    }
    if (at < chunk.byteLength) this.#hold(size ?? HEADER_BYTES, chunk.subarray(at));
    return packets;
  }

  /** Returns where the chunk goes on. */
  #continueHeld(chunk: Uint8Array, start: number, onRun: (run: Uint8Array, packets: number) => void): number {
    let at = start;
    if (this.#heldBytes < 2) {
      // Only the first byte of the size had been received.
      this.#held[1] = chunk[at] ?? 0;
      this.#heldBytes = 2;
      at += 1;
      this.#hold(this.#sizeAt(this.#held, 0), this.#held.subarray(0, 2));
    }
    const size = this.#held.byteLength;
    const take = Math.min(size - this.#heldBytes, chunk.byteLength - at);
    this.#held.set(chunk.subarray(at, at + take), this.#heldBytes);
    this.#heldBytes += take;
    if (this.#heldBytes === size) {
      const packet = this.#held;
      this.#held = new Uint8Array(HEADER_BYTES);
      this.#heldBytes = 0;
      onRun(packet, 1);
    }
    return at + take;
  }

  #hold(size: number, head: Uint8Array): void {
    this.#held = new Uint8Array(size);
    this.#held.set(head);
    this.#heldBytes = head.byteLength;
  }

  #sizeAt(bytes: Uint8Array, at: number): number {
    const size = packetSizeAt(bytes, at);
    if (size < HEADER_BYTES) {
      this.#broken = new ProtocolError("size_too_small", `size: ${size}, allowed is ${HEADER_BYTES} or more`);
    } else if (size > this.#maxPacketBytes) {
      this.#broken = new ProtocolError("size_too_large", `size: ${size}, allowed is ${this.#maxPacketBytes} or less`);
    }
    if (this.#broken !== undefined) throw this.#broken;
    return size;
  }
}
