import { once } from "node:events";
import { connect } from "node:net";
import { CoreHeaders, SharedHeaders } from "miniflare";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Edge } from "../../edge/edge.ts";
import { OWN_EDGE_KEY, openOwnEdge } from "../support/processes/own-edge.ts";

/** What a simulator of Cloudflare takes for its own: an edge that is not one must not. */
const MINIFLARE_HEADERS = [...Object.values(CoreHeaders), ...Object.values(SharedHeaders), "MF-Binding", "MF-New"];

let edge: Edge;

beforeAll(async () => {
  edge = await openOwnEdge({});
});
afterAll(() => edge.close());

describe("an edge on workerd", () => {
  it.each([
    ["as it is written", (name: string) => [name]],
    ["in small letters", (name: string) => [name.toLowerCase()]],
    ["in capitals", (name: string) => [name.toUpperCase()]],
    ["twice", (name: string) => [name, name.toLowerCase()]],
  ])("lets no header of Miniflare's change what is asked, %s", async (_, spell) => {
    for (const header of MINIFLARE_HEADERS) {
      for (const value of ["http://x/healthz", "artoria", "1", '{"clientIp":"192.0.2.1:1"}', "not json"]) {
        const lines = spell(header).map((name) => `${name}: ${value}`);
        expect([header, value, (await ask("/v1/check", lines)).status]).toEqual([header, value, 401]);
      }
    }
  });

  it("lets none in by way of Connection or a trailer", async () => {
    const url = "MF-Original-URL: http://x/healthz";
    expect((await ask("/v1/check", ["Connection: MF-Original-URL, Host", url])).status).toBe(401);
    const chunked = ["Transfer-Encoding: chunked", "Trailer: MF-Original-URL"];
    const { status } = await ask("/v1/check", chunked, { method: "POST", body: `1\r\nx\r\n0\r\n${url}\r\n\r\n` });
    expect(status).toBe(401);
  });

  it("serves its files whatever a client's headers tell Miniflare", async () => {
    for (const header of MINIFLARE_HEADERS) {
      const { status, text } = await ask("/artoria/chat-page.js", [`${header}: http://x/healthz`]);
      expect([header, status]).toEqual([header, 200]);
      expect(text).toContain("Content-Type: text/javascript");
    }
  });

  it("answers nothing of Miniflare's own paths, and no CONNECT to its parts", async () => {
    for (const path of ["/cdn-cgi/local/platform-proxy", "/cdn-cgi/local/scheduled", "/cdn-cgi/local/explorer"]) {
      expect([path, (await ask(path, ["MF-Op: GET"])).status]).toEqual([path, 404]);
    }
    const { status } = await ask("miniflare-unsafe-internal-capnp-connect", [], { method: "CONNECT" });
    expect(status).toBe(500);
  });

  it("takes no other route because the Host header holds a path", async () => {
    for (const host of ["x/healthz?", "x/healthz#", "x\\healthz?", "u@x/docs?", "x/healthz/..?"]) {
      const { status } = await ask("/v1/check", [], { host });
      expect([host, status >= 400]).toEqual([host, true]);
    }
  });

  it("asks for the same as before with any path in the request line", async () => {
    expect((await ask("http://x/healthz", [], { host: "y" })).status).toBe(200);
    expect((await ask("http://x/healthz@y/v1/check", [])).status).toBe(404);
  });
});

describe("below /v1/check", () => {
  const paths = [
    ...["/../../healthz", "/..", "/./../../healthz", "/%2e%2e/%2E%2E/healthz", "/.%2e/%2e./healthz"],
    ...["/..%2f..%2fhealthz", "/..%252f..%252fhealthz", "/%252e%252e/%252e%252e/healthz", "/..\\..\\healthz"],
    ...["/..%5c..%5chealthz", "//../../../healthz", "//..//..//healthz", "/..;/..;/healthz", "/x/../../../healthz"],
    ...["/../check/../../healthz?resource=/x", "/../../docs", "/../../openapi.json", "/../../login", "/../../"],
    ...["%2f..%2f..%2fhealthz", "\\..\\..\\healthz", ";/../../healthz", "/\t../../healthz", "/../../%68ealthz"],
  ];
  it.each(paths)("%s is no other route's", async (below) => {
    const created = await createSession();
    expect(created.status).toBe(201);
    const { token } = (await created.json()) as { token: string };
    for (const path of [`/v1/check${below}`, `//v1/check${below}`, `/v1//check${below}`, `/v1/%63heck${below}`]) {
      for (const lines of [[], [`Authorization: Bearer ${token}`]]) {
        expect([path, (await ask(path, lines)).status >= 400]).toEqual([path, true]);
      }
    }
  });

  function createSession(): Promise<Response> {
    const headers = { Authorization: `Bearer ${OWN_EDGE_KEY}`, "Content-Type": "application/json" };
    return fetch(`${edge.url}/v1/sessions`, { method: "POST", headers, body: JSON.stringify({ user: "kim" }) });
  }
});

describe("the address that limits count by", () => {
  it("is who connected, whatever CF-Connecting-IP and X-Forwarded-For say", async () => {
    for (let i = 1; i <= 40; i++) {
      const forged = [
        `CF-Connecting-IP: 192.0.2.${i}`,
        `cf-connecting-ip: 192.0.2.${i}`,
        `X-Forwarded-For: 192.0.2.${i}`,
      ];
      const blob = `MF-CF-Blob: {"clientIp":"192.0.2.${i}:1"}`;
      const { status } = await ask("/v1/count", ["Authorization: Bearer wrong", blob, ...forged]);
      if (status === 429) return;
      expect(status).toBe(401);
    }
    expect.unreachable("40 wrong keys of one client are over the limit");
  });
});

interface Asked {
  readonly method?: string;
  readonly host?: string;
  readonly body?: string;
}

/** A request as these very bytes: fetch() would put the path and the headers in order. */
async function ask(path: string, lines: readonly string[], { method = "GET", host = "edge", body = "" }: Asked = {}) {
  const { hostname, port } = new URL(edge.url);
  const socket = connect(Number(port), hostname);
  socket.end([`${method} ${path} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...lines, "", body].join("\r\n"));
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(socket, "close");
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]), text };
}
