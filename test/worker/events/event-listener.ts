import { API_KEY, ask } from "../routes/edge-client.ts";

/** A block of a stream: what stands between two empty lines. */
export interface Block {
  readonly event: string | undefined;
  readonly id: string | undefined;
  readonly data: unknown;
  readonly isComment: boolean;
}

/** Somebody who listens to GET /v1/events, in workerd. */
export class EventListener {
  readonly response: Response;
  readonly blocks: Block[] = [];
  hasEnded = false;
  /** What the stream's first line says; 0 if it does not. */
  retryMs = 0;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = "";

  constructor(response: Response) {
    if (response.body === null || response.status !== 200)
      throw new Error(`the edge responded with ${response.status}`);
    this.response = response;
    this.#reader = response.body.getReader();
  }

  static async open(query = "", headers: Readonly<Record<string, string>> = {}): Promise<EventListener> {
    const asService = { Authorization: `Bearer ${API_KEY}`, ...headers };
    return new EventListener(await ask(`/v1/events${query}`, { headers: asService }));
  }

  /** Reads until `isDone` says so of the blocks, or the stream ends. */
  async until(isDone: (blocks: readonly Block[]) => boolean): Promise<this> {
    while (!isDone(this.blocks) && !this.hasEnded) await this.#read();
    return this;
  }

  /** Reads until there are so many events, and returns them. */
  async events(count: number): Promise<readonly Block[]> {
    const named = () => this.blocks.filter(({ event }) => event !== undefined);
    await this.until(() => named().length >= count);
    return named();
  }

  /** The last id that it has received: where it would resume. */
  get position(): string {
    return this.blocks.findLast(({ id }) => id !== undefined)?.id ?? "";
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }

  async #read(): Promise<void> {
    const { value, done } = await this.#reader.read().catch(() => ({ value: undefined, done: true }));
    if (done) this.hasEnded = true;
    this.#text += new TextDecoder().decode(value);
    const parts = this.#text.split("\n\n");
    this.#text = parts.pop() ?? "";
    for (const part of parts) {
      this.retryMs ||= Number(/^retry: (\d+)$/m.exec(part)?.[1] ?? 0);
      this.blocks.push(blockOf(part));
    }
  }
}

function blockOf(text: string): Block {
  const lines = text.split("\n");
  const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const data = field("data");
  return {
    event: field("event"),
    id: field("id"),
    data: data === undefined ? undefined : JSON.parse(data),
    isComment: lines.some((line) => line.startsWith(":")),
  };
}
