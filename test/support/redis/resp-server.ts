import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/** One command as a client sent it: its name in upper case, then its arguments. */
export type RespRequest = readonly [name: string, ...args: string[]];

/** Returns the server's reply, encoded by {@link respArray} and the like; undefined is silence. */
export type RespondTo = (request: RespRequest, client: Socket) => string | undefined;

/**
 * A server that speaks Redis's protocol (RESP2) and replies what the test decides: for faults that a real Redis or Sentinel
 * cannot be made to show at a chosen moment.
 */
export class RespServer {
  readonly clients = new Set<Socket>();
  readonly #server: Server;

  private constructor(respondTo: RespondTo) {
    this.#server = createServer((client) => {
      this.clients.add(client);
      client.setNoDelay(true).on("error", () => undefined);
      client.on("close", () => this.clients.delete(client));
      let unread = "";
      client.on("data", (chunk: Buffer) => {
        unread += chunk.toString("latin1");
        for (let parsed = parseRequest(unread); parsed !== undefined; parsed = parseRequest(unread)) {
          unread = unread.slice(parsed.size);
          const reply = respondTo(parsed.request, client);
          if (reply !== undefined && client.writable) client.write(reply);
        }
      });
    });
  }

  static async listen(respondTo: RespondTo): Promise<RespServer> {
    const server = new RespServer(respondTo);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends every connection, as a server does to the clients of a primary that it stops being. */
  hangUp(): void {
    for (const client of this.clients) client.destroy();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.hangUp();
    await closed;
  }
}

export function respBulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

/** The items are encoded already. */
export function respArray(items: readonly string[]): string {
  return `*${items.length}\r\n${items.join("")}`;
}

/** The first command in the text and how much of it that is; undefined until all of it is there. */
function parseRequest(text: string): { readonly request: RespRequest; readonly size: number } | undefined {
  const header = /^\*(\d+)\r\n/.exec(text);
  if (header === null) return undefined;
  const words: string[] = [];
  let at = header[0].length;
  while (words.length < Number(header[1])) {
    const length = /^\$(\d+)\r\n/.exec(text.slice(at, at + 16));
    if (length === null) return undefined;
    const begin = at + length[0].length;
    at = begin + Number(length[1]) + 2;
    if (at > text.length) return undefined;
    words.push(text.slice(begin, at - 2));
  }
  const [name = "", ...args] = words;
  return { request: [name.toUpperCase(), ...args], size: at };
}
