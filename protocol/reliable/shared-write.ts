/** One array of the chunks, in their order: the chunk itself if it is alone. */
export function joinChunks(chunks: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [first] = chunks;
  if (first !== undefined && chunks.length === 1) return first;
  const joined = new Uint8Array(chunks.reduce((bytes, chunk) => bytes + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.byteLength;
  }
  return joined;
}

/**
 * Joins chunks for one socket after the other. In a busy room most sockets get the very same broadcasts in a turn: those
 * share one array, which is made once.
 */
export class SharedWrite {
  #chunks: readonly Uint8Array<ArrayBuffer>[] = [];
  #joined: Uint8Array<ArrayBuffer> = new Uint8Array();

  join(chunks: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
    const isSame = chunks.length === this.#chunks.length && chunks.every((chunk, at) => chunk === this.#chunks[at]);
    if (!isSame) {
      this.#joined = joinChunks(chunks);
      this.#chunks = chunks;
    }
    return this.#joined;
  }
}
