import { ProtocolError } from "./packet-framing.ts";

// The two globals of the Encoding Standard that protocol/ uses. All its runtimes have them (workerd, Node, browsers), but it is
// compiled without their types, so that a timer, a socket or a Buffer in this folder does not compile.
declare class TextEncoder {
  encode(input: string): Uint8Array<ArrayBuffer>;
}
declare class TextDecoder {
  constructor(label: "utf-8", options: { fatal: true; ignoreBOM: true });
  decode(input: Uint8Array): string;
}

const utf8Encoder = new TextEncoder();
// ignoreBOM keeps a leading U+FEFF: users are compared by the bytes of their ids.
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How many bytes a text has as UTF-8. */
export function utf8Length(text: string): number {
  return utf8Encoder.encode(text).byteLength;
}

/**
 * Reads the fields of one packet in order, little-endian (docs/wire-protocol.md, "Framing"). Every method throws a
 * {@link ProtocolError} that names `field` if the packet ends inside the field or its value is not allowed.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #offset: number;

  /** `offset`: where the first field starts, in bytes. */
  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes;
    this.#offset = offset;
  }

  u8(field: string): number {
    return this.#byteAt(this.#take(1, field));
  }

  i8(field: string): number {
    return (this.u8(field) << 24) >> 24;
  }

  u16(field: string): number {
    return this.#u16At(this.#take(2, field));
  }

  u32(field: string): number {
    return this.#u32At(this.#take(4, field));
  }

  i32(field: string): number {
    return this.#u32At(this.#take(4, field)) | 0;
  }

  /** A `u64` of 0..2^53-1. */
  u64(field: string): number {
    const at = this.#take(8, field);
    const high = this.#u32At(at + 4);
    // 2^21 * 2^32 = 2^53, and 2^53 - 1 is the largest integer that a JavaScript number holds exactly.
    if (high >= 2 ** 21) throw new ProtocolError("out_of_range", `${field}: allowed is 0..2^53-1`);
    return high * 2 ** 32 + this.#u32At(at);
  }

  /** A copy of the next `length` bytes. */
  bytes(length: number, field: string): Uint8Array<ArrayBuffer> {
    const at = this.#take(length, field);
    // Not slice(): on a Node Buffer, which a socket delivers, slice() returns a view and not a copy.
    const copy = new Uint8Array(length);
    copy.set(this.#bytes.subarray(at, at + length));
    return copy;
  }

  /** A `string`: `length u16`, then that many bytes of valid UTF-8 without U+0000. `min` and `max` bound `length`, in bytes. */
  string(field: string, min: number, max: number): string {
    const length = this.u16(field);
    if (length < min || length > max) {
      throw new ProtocolError("out_of_range", `${field}: ${length} bytes, allowed are ${min}..${max}`);
    }
    return this.text(length, field);
  }

  /** The next `length` bytes as valid UTF-8 without U+0000. */
  text(length: number, field: string): string {
    const at = this.#take(length, field);
    const text = this.#decode(at, length, field);
    if (text.includes("\0")) throw new ProtocolError("bad_utf8", `${field}: U+0000 is not allowed`);
    return text;
  }

  /** A copy of all bytes that have not been read. */
  rest(): Uint8Array<ArrayBuffer> {
    return this.bytes(this.#bytes.byteLength - this.#offset, "body");
  }

  /** Call it after the last field: bytes after it are an error. */
  end(): void {
    const left = this.#bytes.byteLength - this.#offset;
    if (left > 0) throw new ProtocolError("payload_too_long", `payload: ${left} bytes after the last field`);
  }

  #decode(at: number, length: number, field: string): string {
    try {
      return utf8Decoder.decode(this.#bytes.subarray(at, at + length));
    } catch {
      throw new ProtocolError("bad_utf8", `${field}: not valid UTF-8`);
    }
  }

  // Not a DataView: creating one costs as much as reading a small packet.
  #u32At(at: number): number {
    return this.#u16At(at) + this.#u16At(at + 2) * 2 ** 16;
  }

  #u16At(at: number): number {
    return this.#byteAt(at) | (this.#byteAt(at + 1) << 8);
  }

  #byteAt(at: number): number {
    return this.#bytes[at] ?? 0;
  }

  #take(length: number, field: string): number {
    const at = this.#offset;
    if (at + length > this.#bytes.byteLength) {
      throw new ProtocolError("payload_too_short", `${field}: the packet ends inside it`);
    }
    this.#offset = at + length;
    return at;
  }
}

/**
 * Writes packets one after another into one growing buffer, little-endian. It does not check that a number fits its field:
 * callers pass values that were validated when they were received.
 */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** `capacity`: the expected size of the output in bytes. If it is large enough, the buffer is never copied. */
  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** How many bytes have been written. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  i32(value: number): this {
    const at = this.#grow(4);
    this.#view.setInt32(at, value, true);
    return this;
  }

  u64(value: number): this {
    const at = this.#grow(8);
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.byteLength);
    this.#bytes.set(value, at);
    return this;
  }

  /** A `string`: `length u16` in bytes, then the text as UTF-8. */
  string(value: string): this {
    const encoded = utf8Encoder.encode(value);
    return this.u16(encoded.byteLength).bytes(encoded);
  }

  /** Writes one packet: its header, then the fields that `payload` writes. `size` is filled in afterwards. */
  packet(type: number, payload?: (writer: this) => void): this {
    const start = this.#length;
    this.u16(0).u16(type);
    payload?.(this);
    this.#view.setUint16(start, this.#length - start, true);
    return this;
  }

  /** The bytes written so far, as a view of the buffer and not a copy. Do not write afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes room for `count` bytes and returns their offset. It may replace #view, so call it first. */
  #grow(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(needed, this.#bytes.byteLength * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = needed;
    return at;
  }
}
