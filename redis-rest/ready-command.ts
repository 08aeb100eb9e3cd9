import { Command } from "ioredis";

/** Bulk strings that are shorter have their header at hand: a session's key or a token is. */
const READY_HEADERS = 256;

const HEADERS: readonly string[] = Array.from({ length: READY_HEADERS }, (_, length) => makeHeader(length));

/**
 * A command whose arguments are strings and bytes already. ioredis would flatten them, look at each, and join them from
 * more pieces: for 400 keys 48 us and 61 us of flattening, where this takes 20.
 */
export class ReadyCommand extends Command {
  readonly #words: readonly (string | Buffer)[];

  constructor(name: string, args: readonly (string | Buffer)[]) {
    super(name);
    this.args = [...args];
    this.#words = [name, ...args];
  }

  /** An array of bulk strings (RESP2). */
  override toWritable(): Buffer {
    return asciiBulks(this.#words) ?? bulks(this.#words);
  }
}

/** In one pass, or undefined where a word is bytes, or text whose length in bytes is another. */
function asciiBulks(words: readonly (string | Buffer)[]): Buffer | undefined {
  let text = `*${words.length}`;
  for (const word of words) {
    if (typeof word !== "string") return undefined;
    text += header(word.length);
    text += word;
  }
  text += "\r\n";
  return Buffer.byteLength(text) === text.length ? Buffer.from(text, "latin1") : undefined;
}

function bulks(words: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}`)];
  for (const word of words) parts.push(Buffer.from(header(Buffer.byteLength(word))), Buffer.from(word));
  parts.push(Buffer.from("\r\n"));
  return Buffer.concat(parts);
}

/** What stands before a bulk string, with the end of whatever came before it. */
function header(length: number): string {
  return HEADERS[length] ?? makeHeader(length);
}

function makeHeader(length: number): string {
  return `\r\n$${length}\r\n`;
}
