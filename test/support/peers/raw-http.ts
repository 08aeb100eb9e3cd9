import { connect, type Socket } from "node:net";
import { until } from "../until.ts";

/** A response as it stood on the wire. */
export interface RawResponse {
  readonly status: number;
  /** In the order in which they came, the names in small letters. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/** What a {@link rawRequest} says. fetch() would put it in order. */
export interface RawRequest {
  readonly method?: string;
  /** One character for each byte, as in everything else. */
  readonly target?: string;
  readonly lines?: readonly string[];
  readonly body?: string;
  readonly version?: string;
  /** Whether the connection stays open after the response, without a word about it. */
  readonly keepsOpen?: boolean;
}

/** The bytes of a request, each as a character. */
function rawRequest(request: RawRequest): string {
  const { method = "GET", target = "/v1/check", lines = [], body = "", version = "1.1", keepsOpen } = request;
  const connection = keepsOpen ? [] : ["Connection: close"];
  return [`${method} ${target} HTTP/${version}`, "Host: check.test", ...connection, ...lines, "", body].join("\r\n");
}

/** The response to a request on a connection of its own. */
export async function askRaw(url: string, request: RawRequest, from = "127.0.0.1"): Promise<RawResponse> {
  const connection = await RawConnection.open(url, from);
  const { method, keepsOpen } = request;
  try {
    connection.send(rawRequest(request));
    const text = keepsOpen
      ? await until(() => parseResponses(connection.received, method).length > 0 && connection.received)
      : await connection.ended();
    const [response] = parseResponses(text, method);
    if (response === undefined) throw new Error(`no response to ${JSON.stringify(request)}`);
    return response;
  } finally {
    connection.close();
  }
}

/** A connection on which a test writes what it likes. */
export class RawConnection {
  readonly socket: Socket;
  #received = "";

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1").on("data", (text: string) => {
      this.#received += text;
    });
    // A reset ends the connection as a close does.
    socket.on("error", () => undefined);
  }

  /** A refused one is closed. */
  static async open(url: string, localAddress = "127.0.0.1"): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const connection = new RawConnection(connect({ host: hostname, port: Number(port), localAddress }));
    const { socket } = connection;
    await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
    return connection;
  }

  /** All that has come. */
  get received(): string {
    return this.#received;
  }

  /** The responses that have come whole. */
  get responses(): RawResponse[] {
    return parseResponses(this.#received);
  }

  send(bytes: string): void {
    this.socket.write(bytes, "latin1");
  }

  /** All that came, once the server has closed the connection. */
  async ended(): Promise<string> {
    const { socket } = this;
    if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
    return this.#received;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The whole responses in a text. The body of each has its Content-Length; without one it reaches to the end. */
function parseResponses(text: string, method = "GET"): RawResponse[] {
  const responses: RawResponse[] = [];
  for (let at = 0; at < text.length; ) {
    const headEnd = text.indexOf("\r\n\r\n", at);
    if (headEnd < 0) break;
    const [statusLine = "", ...lines] = text.slice(at, headEnd).split("\r\n");
    const headers = lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    });
    const length = headers.find(([name]) => name === "content-length")?.[1];
    const start = headEnd + 4;
    const end = method === "HEAD" ? start : length === undefined ? text.length : start + Number(length);
    if (end > text.length) break;
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
    responses.push({ status, headers, body: text.slice(start, end) });
    at = end;
  }
  return responses;
}
