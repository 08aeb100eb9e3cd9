/**
 * Builds the bytes that a test expects, field by field. It shares no code with protocol/: a codec that is wrong on both
 * sides would agree with itself.
 */
export class PacketBytes {
  readonly #fields: Buffer[] = [];

  u8(value: number): this {
    return this.#add(1, (field) => field.writeUInt8(value));
  }

  i8(value: number): this {
    return this.#add(1, (field) => field.writeInt8(value));
  }

  u16(value: number): this {
    return this.#add(2, (field) => field.writeUInt16LE(value));
  }

  u32(value: number): this {
    return this.#add(4, (field) => field.writeUInt32LE(value));
  }

  i32(value: number): this {
    return this.#add(4, (field) => field.writeInt32LE(value));
  }

  u64(value: number | bigint): this {
    return this.#add(8, (field) => field.writeBigUInt64LE(BigInt(value)));
  }

  bytes(value: Uint8Array): this {
    this.#fields.push(Buffer.from(value));
    return this;
  }

  string(value: string): this {
    return this.u16(Buffer.byteLength(value)).bytes(Buffer.from(value, "utf8"));
  }

  /** The fields so far as the payload of one packet; `size` says otherwise only to be wrong. */
  packet(type: number, size?: number): Uint8Array {
    const payload = Buffer.concat(this.#fields);
    const header = new PacketBytes();
    header.u16(size ?? 4 + payload.length).u16(type);
    return new Uint8Array(Buffer.concat([...header.#fields, payload]));
  }

  #add(length: number, write: (field: Buffer) => void): this {
    const field = Buffer.alloc(length);
    write(field);
    this.#fields.push(field);
    return this;
  }
}

/** The bytes of a hex string, as the vectors write them. */
export function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

/** The hex of bytes: what a failing comparison shows. */
export function toHex(bytes: Iterable<number>): string {
  return Buffer.from(Uint8Array.from(bytes)).toString("hex");
}
