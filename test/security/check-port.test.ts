import { afterEach, describe, expect, it } from "vitest";
import { formatToken, makeToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import { hang } from "../support/peers/packet-edge.ts";
import { askRaw, RawConnection } from "../support/peers/raw-http.ts";
import { TestBridge } from "../support/peers/test-bridge.ts";
import { until } from "../support/until.ts";

/** The victim's token: its session may enter. */
const TOKEN = formatToken(makeToken(7, new Uint8Array(16).fill(7)));
const BEARER = `Authorization: Bearer ${TOKEN}`;
/** A whole request, as an attacker would hide it in another. */
const HIDDEN = `GET /v1/check HTTP/1.1\r\nHost: a\r\n${BEARER}\r\n\r\n`;

let stack: TestBridge;
const connections: RawConnection[] = [];
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close();
  await stack.close();
});

async function open(variables: Readonly<Record<string, string>> = {}): Promise<void> {
  stack = await TestBridge.open({ CHECK_PORT: "0", ...variables });
  stack.edge.sessions.users.set(7, "kim");
}

async function dial(from?: string): Promise<RawConnection> {
  const connection = await RawConnection.open(stack.checkUrl, from);
  connections.push(connection);
  return connection;
}

/** The statuses of all responses to these bytes, once the server has closed the connection. */
async function statusesOf(bytes: string): Promise<number[]> {
  const connection = await dial();
  connection.send(bytes);
  await connection.ended();
  return connection.responses.map(({ status }) => status);
}

/** A request without a token that ends the connection. */
function last(...lines: readonly string[]): string {
  return ["POST /v1/check HTTP/1.1", "Host: a", "Connection: close", ...lines, "", ""].join("\r\n");
}

async function serves(from?: string): Promise<boolean> {
  return (await askRaw(stack.checkUrl, { lines: [BEARER] }, from)).status === 200;
}

/** Whether the port answers what it answers without the edge. */
async function serves404(): Promise<boolean> {
  return (await askRaw(stack.checkUrl, { target: "/" })).status === 404;
}

describe("a request that two readers could take apart in two ways", () => {
  const chunked = "Transfer-Encoding: chunked";
  it.each([
    ["two lengths", last("Content-Length: 0", `Content-Length: ${HIDDEN.length}`) + HIDDEN],
    ["a length and chunks", `${last(chunked, `Content-Length: ${HIDDEN.length}`)}0\r\n\r\n${HIDDEN}`],
    ["chunks and a length", `${last("Content-Length: 5", chunked)}0\r\n\r\n${HIDDEN}`],
    ["a length with a sign", last(`Content-Length: +${HIDDEN.length}`) + HIDDEN],
    ["a length in hexadecimal", last("Content-Length: 0x5") + HIDDEN],
    ["two lengths in one line", last("Content-Length: 0, 5") + HIDDEN],
    ["an unknown encoding", last("Transfer-Encoding: xchunked") + HIDDEN],
    ["an encoding before chunked", last("Transfer-Encoding: chunked, identity") + HIDDEN],
    ["a folded line", last("Content-Length: 0", "X: a", ` Content-Length: ${HIDDEN.length}`) + HIDDEN],
    ["a space before the colon", last(`Content-Length : ${HIDDEN.length}`) + HIDDEN],
    ["lines without CR", last().replaceAll("\r\n", "\n") + HIDDEN],
    ["a CR alone", last("X: a\rContent-Length: 5") + HIDDEN],
    ["a NUL in a header", last("X-Original-URI: /a\0b") + HIDDEN],
    ["a header without a name", last(": a") + HIDDEN],
    ["a chunk with a bad size", `${last(chunked)}x\r\n${HIDDEN}`],
    ["another version", `GET /v1/check HTTP/1.2\r\nHost: a\r\n\r\n${HIDDEN}`],
    ["no Host", `GET /v1/check HTTP/1.1\r\n\r\n${HIDDEN}`],
    ["HTTP/2 with prior knowledge", `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${HIDDEN}`],
  ])("%s: gets no answer to the request that it hides", async (_, bytes) => {
    await open();
    const statuses = await statusesOf(bytes);
    // A chunk is read after the response to its request has been sent.
    expect(statuses.filter((status) => status !== 401)).toEqual(statuses.includes(401) ? expect.any(Array) : [400]);
    expect(statuses).not.toContain(200);
  });

  it.each([
    ["a body with a length", last(`Content-Length: ${HIDDEN.length}`) + HIDDEN],
    ["a chunked body", `${last(chunked)}${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`],
    ["a trailer", `${last(chunked)}0\r\n${BEARER}\r\n\r\n`],
    ["an upgrade to h2c", last("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__") + HIDDEN],
    ["an upgrade to a WebSocket", last("Upgrade: websocket") + HIDDEN],
  ])("%s is no request and no header of one", async (_, bytes) => {
    await open();
    expect(await statusesOf(bytes)).toEqual([401]);
  });

  it("CONNECT opens nothing, and TRACE shows no header", async () => {
    await open();
    expect(await statusesOf(`CONNECT a:80 HTTP/1.1\r\nHost: a\r\n${BEARER}\r\n\r\n${HIDDEN}`)).toEqual([]);
    const { status, body } = await askRaw(stack.checkUrl, { method: "TRACE", lines: [BEARER, "X-Secret: s"] });
    expect([status, body]).toEqual([200, ""]);
  });
});

describe("a client that takes more than its share", () => {
  it("gets 431 for headers of more than 32 KiB, and for none of what proxies pass on", async () => {
    await open();
    expect((await askRaw(stack.checkUrl, { lines: [`X: ${"a".repeat(40_000)}`] })).status).toBe(431);
    const most = Array.from({ length: 3 }, () => `X: ${"a".repeat(8 * 1024)}`);
    expect((await askRaw(stack.checkUrl, { lines: [BEARER, ...most] })).status).toBe(200);
  });

  it("is closed if it does not end its headers in time, whatever it sends until then, and delays nobody", async () => {
    await open({ CHECK_HEADERS_MS: "300" });
    const slow = await Promise.all(Array.from({ length: 20 }, () => dial()));
    for (const connection of slow) connection.send("GET /v1/check HTTP/1.1\r\nHost: a\r\nX: ");
    const drip = setInterval(() => {
      for (const connection of slow) connection.send("a");
    }, 20);
    try {
      expect(await serves()).toBe(true);
      for (const connection of slow) await connection.ended();
    } finally {
      clearInterval(drip);
    }
    for (const { responses } of slow) expect(responses.map(({ status }) => status)).toEqual([408]);
  });

  it("is closed if it never ends a body, or never reads its responses", async () => {
    await open({ CHECK_REQUEST_MS: "300", CHECK_FAILURE_DELAY_MS: "1" });
    const endless = await dial();
    endless.send("POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    const drip = setInterval(() => endless.send("1\r\na\r\n"), 20);
    const unread = await dial();
    unread.socket.pause();
    const flood = setInterval(() => {
      if (unread.socket.writableLength === 0) unread.send(last().replace("close", "keep-alive").repeat(1_000));
    }, 5);
    try {
      await endless.ended();
      await until(() => unread.socket.closed || unread.socket.errored !== null || unread.socket.destroyed);
      expect(await serves()).toBe(true);
    } finally {
      clearInterval(drip);
      clearInterval(flood);
    }
  });

  it("occupies the edge with 16 requests of a connection, however many it pipelines", async () => {
    await open({ BRIDGE_EDGE_DEADLINE_MS: "60000" });
    stack.edge.fault = hang;
    const connection = await dial();
    // With a length, a request is not plain: node:http reads ahead.
    connection.send(HIDDEN.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n").repeat(500));
    const refused = () => stack.metric('artoria_bridge_check_refusals_total{code="requests_in_progress"}');
    await until(async () => ((await refused()) ?? 0) > 0);
    const asked = stack.edge.batches.flat().length + ((await stack.metric("artoria_bridge_packets_waiting")) ?? 0);
    expect(asked).toBeLessThanOrEqual(16);
  });

  it("occupies the edge with one plain request of a connection, and the bridge with none of the others", async () => {
    await open({ BRIDGE_EDGE_DEADLINE_MS: "60000" });
    stack.edge.fault = hang;
    const connection = await dial();
    // More than fits into the buffers of both sockets: 20 MB.
    connection.send(HIDDEN.repeat(200_000));
    await until(() => stack.edge.batches.length === 1);
    expect(await serves404()).toBe(true);
    expect(stack.edge.batches).toEqual([["identify"]]);
    expect(connection.socket.writableLength).toBeGreaterThan(0);
  });
});

describe("addresses that fill the check port", () => {
  const ADDRESSES = Array.from({ length: 11 }, (_, index) => `127.0.2.${index + 1}`);
  const PLACES = { CHECK_MAX_CONNECTIONS: "100", CHECK_MAX_CONNECTIONS_PER_ADDRESS: "10" };

  it.each([
    ["silent", ""],
    ["half-sent", "GET /v1/check HT"],
    ["used and idle", last().replace("close", "keep-alive").replace("POST", "GET")],
  ])("with %s connections keep nobody out of it, nor of the game port", async (_, first) => {
    await open(PLACES);
    const game = await stack.connect();
    for (const from of ADDRESSES) {
      for (let index = 0; index < 10; index++) (await dial(from)).send(first);
    }
    await until(async () => (await stack.metric("artoria_bridge_check_connections")) === 100);
    expect(await serves("127.0.0.9")).toBe(true);
    for (const from of ADDRESSES) expect(await serves(from)).toBe(true);
    game.send({ kind: "check", sessid: 7 });
    const [response] = await game.received(1);
    expect(response?.status).toBe(Status.Ok);
  });

  it("push out no connection with a request in progress", async () => {
    await open({ ...PLACES, BRIDGE_EDGE_DEADLINE_MS: "60000" });
    const answer: (() => void)[] = [];
    stack.edge.fault = () => new Promise((resolve) => answer.push(() => resolve("respond")));
    const asking = await dial();
    asking.send(HIDDEN);
    await until(() => stack.edge.batches.length === 1);
    for (const from of ADDRESSES) {
      for (let index = 0; index < 20; index++) await dial(from);
    }
    for (const respond of answer) respond();
    expect(await until(() => asking.responses[0]?.status)).toBe(200);
  });
});

describe("what the check port tells", () => {
  it("is no token, no user and no address: neither in the log nor in the metrics", async () => {
    await open({ BRIDGE_EDGE_DEADLINE_MS: "200" });
    await askRaw(stack.checkUrl, { lines: [BEARER] });
    stack.edge.fault = hang;
    await askRaw(stack.checkUrl, { lines: [BEARER, "X-Original-URI: /secret"] });
    await statusesOf(last(`Content-Length : ${TOKEN}`));
    const told = stack.log.join("") + (await stack.watch("/metrics")).body;
    for (const secret of [TOKEN, "kim", "secret", "127.0.0.2"]) expect(told).not.toContain(secret);
  });

  it("is nothing but checks: no metrics, no packets and no page", async () => {
    await open();
    for (const target of [
      "/",
      "/metrics",
      "/healthz",
      "/v1/packets",
      "/v1/sessions",
      "*",
      "/V1/CHECK",
      "/v1/check\\x",
    ]) {
      const { status } = await askRaw(stack.checkUrl, { target, lines: [BEARER] });
      expect([target, status]).toEqual([target, 404]);
    }
  });
});
