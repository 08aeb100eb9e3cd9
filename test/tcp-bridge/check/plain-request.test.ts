import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readPlainRequest } from "../../../tcp-bridge/check/plain-request.ts";
import { RawConnection } from "../../support/peers/raw-http.ts";

const PLAIN = "GET /v1/check?resource=/a HTTP/1.1\r\nHost: a\r\nCookie:\t b=c \r\nX-A:\r\n\r\n";

describe("readPlainRequest", () => {
  it("reads a whole request at its place in the text, and leaves what follows", () => {
    const text = `${PLAIN}${PLAIN.replace("GET", "HEAD")}rest`;
    const rawHeaders = ["Host", "a", "Cookie", "b=c", "X-A", ""];
    const request = { target: "/v1/check?resource=/a", rawHeaders };
    expect(readPlainRequest(text, 0)).toEqual({ ...request, isHead: false, end: PLAIN.length });
    expect(readPlainRequest(text, PLAIN.length)).toEqual({ ...request, isHead: true, end: 2 * PLAIN.length + 1 });
    expect(readPlainRequest(text, 2 * PLAIN.length + 1)).toBeUndefined();
  });

  it("takes no part of a request for the whole", () => {
    for (let length = 0; length < PLAIN.length; length++)
      expect(readPlainRequest(PLAIN.slice(0, length), 0)).toBeUndefined();
  });

  it.each<readonly [string, string]>([
    ["another method", PLAIN.replace("GET", "POST")],
    ["an absolute target", PLAIN.replace("/v1", "http://a/v1")],
    ["a space in the target", PLAIN.replace("/v1", "/ v1")],
    ["a byte beyond ASCII in the target", PLAIN.replace("/v1", "/\xfc")],
    ["HTTP/1.0", PLAIN.replace("HTTP/1.1", "HTTP/1.0")],
    ["an empty line before it", `\r\n${PLAIN}`],
    ["no Host", PLAIN.replace("Host", "Most")],
    ["a folded line", PLAIN.replace("X-A:", " X-A:")],
    ["a space before a colon", PLAIN.replace("X-A:", "X-A :")],
    ["a line without a colon", PLAIN.replace("X-A:", "X-A")],
    ["a line without a name", PLAIN.replace("X-A:", ":")],
    ["a CR in a value", PLAIN.replace("b=c", "b\rc")],
    ["an LF in a value", PLAIN.replace("b=c", "b\nX: y")],
    ["a NUL in a value", PLAIN.replace("b=c", "b\0c")],
    ["DEL in a value", PLAIN.replace("b=c", "b\x7fc")],
    ...[
      "Connection",
      "content-length",
      "Expect",
      "HTTP2-Settings",
      "Keep-Alive",
      "Proxy-Connection",
      "TE",
      "Trailer",
    ].map((name) => [`the header ${name}`, PLAIN.replace("X-A", name)] as const),
    ["the header Transfer-Encoding", PLAIN.replace("X-A:", "transfer-encoding: chunked")],
    ["the header Upgrade", PLAIN.replace("X-A:", "UPGRADE: h2c")],
  ])("leaves %s to an HTTP server", (_, text) => {
    expect(readPlainRequest(text, 0)).toBeUndefined();
  });
});

describe("a text that readPlainRequest takes for a request", () => {
  let server: Server;
  let requests: IncomingMessage[] = [];
  beforeAll(async () => {
    server = createServer((request, response) => {
      requests.push(request);
      response.end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it("is the same request to node:http, wherever it ends", async () => {
    const piece = fc.constantFrom(
      ...[
        "GET ",
        "HEAD ",
        "/",
        "/v1/check",
        "?a=b",
        " HTTP/1.1",
        "\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
      ],
      ...[
        "Host: a\r\n",
        "Cookie: b",
        "X-Original-URI: /\xc3\xbc",
        "Content-Length: 3",
        "x",
        "\0",
        "\x7f",
        "#",
        "%",
        '"',
        "\\",
      ],
    );
    const start = fc.constantFrom("GET /v1/check HTTP/1.1\r\nHost: a\r\n", "HEAD /", "GET /v1/check");
    const texts = fc
      .tuple(start, fc.array(piece, { maxLength: 12 }))
      .map(([first, pieces]) => `${first}${pieces.join("")}\r\n\r\n`);
    let plain = 0;
    const property = fc.asyncProperty(texts, async (text) => {
      const read = readPlainRequest(text, 0);
      if (read === undefined) return;
      plain += 1;
      requests = [];
      const connection = await RawConnection.open(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      connection.send(text.slice(0, read.end));
      connection.socket.end();
      await connection.ended();
      const [request, second] = requests;
      expect([request?.url, request?.rawHeaders, request?.method]).toEqual([
        read.target,
        read.rawHeaders,
        read.isHead ? "HEAD" : "GET",
      ]);
      expect(second).toBeUndefined();
    });
    await fc.assert(property, { numRuns: 3_000 });
    expect(plain).toBeGreaterThan(100);
  });
});
