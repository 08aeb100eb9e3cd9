import { once } from "node:events";
import { connect } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { unknownTypeResponse, writeServiceResponse } from "../../../protocol/service-packets.ts";
import { formatToken, makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { type Certificate, selfSigned } from "../../support/peers/certificates.ts";
import { breakConnection, gate, hang } from "../../support/peers/packet-edge.ts";
import { askRaw, RawConnection, type RawResponse } from "../../support/peers/raw-http.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

/** Of a session that every test has. */
const TOKEN = formatToken(makeToken(7, new Uint8Array(16).fill(7)));
const STRANGER = formatToken(makeToken(8, new Uint8Array(16).fill(7)));
const BEARER = `Authorization: Bearer ${TOKEN}`;

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

function request(token: string, ...lines: readonly string[]): string {
  return ["GET /v1/check HTTP/1.1", "Host: a", `Authorization: Bearer ${token}`, ...lines, "", ""].join("\r\n");
}

function sourceOf({ headers }: RawResponse): string | undefined {
  return headers.find(([name]) => name === "x-check-source")?.[1];
}

function hasHeader({ headers }: RawResponse, name: string, value: string): boolean {
  return headers.some(([other, text]) => other === name && text.toLowerCase() === value);
}

describe("the check port", () => {
  it("is closed unless CHECK_PORT is set", async () => {
    stack = await TestBridge.open();
    expect(stack.bridge.checkAddress).toBeUndefined();
  });

  it("asks the edge in one batch about all tokens that wait", async () => {
    await open({ BRIDGE_EDGE_DEADLINE_MS: "60000", BRIDGE_MAX_BATCHES_IN_FLIGHT: "1" });
    const { fault, open: openGate } = gate();
    stack.edge.faults.push(fault);
    const first = askRaw(stack.checkUrl, { lines: [BEARER] });
    await until(() => stack.edge.batches.length === 1);
    const others = await Promise.all(Array.from({ length: 50 }, () => dial()));
    for (const connection of others) connection.send(request(TOKEN));
    await until(async () => (await stack.metric("artoria_bridge_packets_waiting")) === 50);
    expect(await stack.metric("artoria_bridge_check_connections")).toBe(51);
    openGate();
    expect((await first).status).toBe(200);
    for (const connection of others) {
      const [response] = await until(() => connection.responses.length === 1 && connection.responses);
      expect([response?.status, response && sourceOf(response)]).toEqual([200, "store"]);
    }
    expect(stack.edge.batches).toEqual([["identify"], Array(50).fill("identify")]);
  });

  it.each([
    ["a body", `POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx`, 401],
    ["no HTTP", "x\r\n\r\n", 400],
    ["no end", "GET /v1/check HTTP/1.1\r\n", 400],
  ])("answers a client that sends no more while it waits: a last request with %s", async (_, rest, status) => {
    await open();
    const { fault, open: openGate } = gate();
    stack.edge.faults.push(fault);
    const connection = await dial();
    connection.socket.end(request(TOKEN) + rest, "latin1");
    await until(() => stack.edge.batches.length === 1);
    // The port has seen the end of the client's bytes once it has served another client after it.
    for (let others = 0; others < 3; others++) await askRaw(stack.checkUrl, { target: "/" });
    openGate();
    await connection.ended();
    expect(connection.responses.map((response) => response.status)).toEqual([200, status]);
  });

  it("answers pipelined requests in their order, whatever each of them costs", async () => {
    await open();
    const connection = await dial();
    connection.send(request(TOKEN) + request("none") + request(STRANGER) + request(TOKEN, "X-Original-URI: /x"));
    const responses = await until(() => connection.responses.length === 4 && connection.responses);
    expect(responses.map(({ status }) => status)).toEqual([200, 401, 401, 403]);
    expect(responses.map(sourceOf)).toEqual(["store", "bridge", "store", "store"]);
  });

  it("answers 429 to more than 16 requests in progress on one connection, and closes it", async () => {
    await open();
    stack.edge.fault = hang;
    const [connection, other] = [await dial(), await dial()];
    // With a length, a request is not plain.
    connection.send(request(TOKEN, "Content-Length: 0").repeat(17));
    await connection.ended();
    const statuses = connection.responses.map(({ status }) => status);
    expect([statuses.length, statuses.at(-1)]).toEqual([17, 429]);
    expect(await stack.metric('artoria_bridge_check_refusals_total{code="requests_in_progress"}')).toBe(1);
    stack.edge.fault = undefined;
    other.send(request(TOKEN));
    expect(await until(() => other.responses[0]?.status)).toBe(200);
  });

  it("asks about one plain request of a connection after the other, and answers in that order however they are split", async () => {
    await open();
    const texts = [
      request(TOKEN),
      request(STRANGER),
      request("none"),
      request(TOKEN, "Content-Length: 0"),
      request(TOKEN),
    ];
    const whole = texts.join("");
    for (let cut = 1; cut < whole.length; cut += 7) {
      const connection = await dial();
      connection.send(whole.slice(0, cut));
      await new Promise(setImmediate);
      connection.send(whole.slice(cut));
      const responses = await until(() => connection.responses.length === 5 && connection.responses);
      expect([cut, responses.map(({ status }) => status)]).toEqual([cut, [200, 401, 401, 200, 200]]);
      connection.close();
    }
  });

  it("answers a client that has closed its side", async () => {
    await open();
    const connection = await dial();
    connection.socket.end(request(TOKEN));
    await connection.ended();
    expect(connection.responses.map(({ status }) => status)).toEqual([200]);
  });

  it("answers 503 within the deadline of the edge, and asks again when the edge is back", async () => {
    await open({ BRIDGE_EDGE_DEADLINE_MS: "300" });
    for (const fault of [hang, breakConnection]) {
      stack.edge.fault = fault;
      const response = await askRaw(stack.checkUrl, { lines: [BEARER] });
      expect([response.status, sourceOf(response)]).toEqual([503, "bridge"]);
      expect(JSON.parse(response.body)).toMatchObject({ code: "unavailable", status: 503 });
    }
    stack.edge.fault = undefined;
    expect((await askRaw(stack.checkUrl, { lines: [BEARER] })).status).toBe(200);
  });

  it("gives the edge its whole deadline, however little time a client has to send a request", async () => {
    await open({ BRIDGE_EDGE_DEADLINE_MS: "1000", CHECK_REQUEST_MS: "300", CHECK_FAILURE_DELAY_MS: "1" });
    stack.edge.fault = hang;
    // Its header Connection is not plain, so node:http reads it.
    expect((await askRaw(stack.checkUrl, { lines: [BEARER] })).status).toBe(503);
  });

  it("answers 503 if the edge does not know how to identify, and no packet of a game server fails for it", async () => {
    await open();
    stack.edge.fault = ({ requests }, response) => {
      const writer = new ByteWriter();
      for (const { kind } of requests) {
        if (kind === "identify") writeServiceResponse(writer, unknownTypeResponse(13, Status.Invalid));
        else writeServiceResponse(writer, { kind: "check", status: Status.Ok });
      }
      response.end(writer.finish());
      return "done";
    };
    const game = await stack.connect();
    game.send({ kind: "check", sessid: 7 });
    expect((await askRaw(stack.checkUrl, { lines: [BEARER] })).status).toBe(503);
    const [response] = await game.received(1);
    expect(response).toEqual({ kind: "check", status: Status.Ok });
  });

  it("serves HTTP/1.0, and keeps a connection open only for a client that asks for it", async () => {
    await open();
    expect((await askRaw(stack.checkUrl, { version: "1.0", lines: [BEARER] })).status).toBe(200);
    const connection = await dial();
    for (let round = 1; round <= 3; round++) {
      connection.send(`GET /v1/check HTTP/1.0\r\nConnection: keep-alive\r\n${BEARER}\r\n\r\n`);
      await until(() => connection.responses.length === round);
    }
    connection.send(`GET /v1/check HTTP/1.0\r\n${BEARER}\r\n\r\n`);
    await connection.ended();
    expect(connection.responses.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });

  it("closes a connection that sends no request for CHECK_IDLE_MS", async () => {
    await open({ CHECK_IDLE_MS: "50" });
    const connection = await dial();
    connection.send(request(TOKEN));
    await connection.ended();
    expect(connection.responses.map(({ status }) => status)).toEqual([200]);
  });

  it("drains: it answers what it has received, closes each connection after that, and accepts no others", async () => {
    await open({ BRIDGE_EDGE_DEADLINE_MS: "60000" });
    const [asking, idle] = [await dial(), await dial()];
    idle.send(request(TOKEN));
    await until(() => idle.responses.length === 1);
    const { fault, open: openGate } = gate();
    stack.edge.faults.push(fault);
    asking.send(request(TOKEN));
    await until(() => stack.edge.batches.length === 2);
    const drained = stack.bridge.drain();
    await idle.ended();
    expect((await dial()).socket.closed).toBe(true);
    openGate();
    await asking.ended();
    const [last] = asking.responses;
    expect([last?.status, last && hasHeader(last, "connection", "close")]).toEqual([200, true]);
    await drained;
  });

  it("drains although a client does not close its side", async () => {
    await open();
    const { address: host = "", port = 0 } = stack.bridge.checkAddress ?? {};
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.write(request(TOKEN));
    await once(socket, "data");
    const ended = once(socket, "end");
    await stack.bridge.drain();
    await ended;
    socket.destroy();
  });

  it("counts responses by status and source", async () => {
    await open();
    for (const token of [TOKEN, TOKEN, STRANGER, "none"]) {
      await askRaw(stack.checkUrl, { lines: [`Authorization: Bearer ${token}`] });
    }
    await askRaw(stack.checkUrl, { target: "/healthz" });
    const count = (status: number, source: string) =>
      stack.metric(`artoria_bridge_checks_total{status="${status}",source="${source}"}`);
    expect([await count(200, "store"), await count(401, "store")]).toEqual([2, 1]);
    expect([await count(401, "bridge"), await count(404, "bridge")]).toEqual([1, 1]);
  });
});

describe("a client that shows tokens of no session", () => {
  const exposed = { CHECK_HOST: "0.0.0.0", CHECK_ALLOW_PLAINTEXT: "1", CHECK_MAX_FAILURES_PER_MINUTE: "3" };
  const ask = (token: string, from?: string) =>
    askRaw(stack.checkUrl, { lines: [`Authorization: Bearer ${token}`] }, from);
  const delayed = () => stack.metric("artoria_bridge_checks_delayed_total");

  it("waits for the 401 of the fourth in a minute, and nobody else waits, not even at its address", async () => {
    await open({ ...exposed, CHECK_FAILURE_DELAY_MS: "60000" });
    for (let failure = 0; failure < 3; failure++) expect((await ask(STRANGER)).status).toBe(401);
    const waiting = await dial();
    waiting.send(request(STRANGER));
    await until(async () => (await delayed()) === 1);
    expect((await ask(TOKEN)).status).toBe(200);
    expect((await ask("none")).status).toBe(401);
    expect((await ask(STRANGER, "127.0.0.2")).status).toBe(401);
    expect([waiting.responses, await delayed()]).toEqual([[], 1]);
  });

  it("gets it after CHECK_FAILURE_DELAY_MS", async () => {
    await open({ ...exposed, CHECK_FAILURE_DELAY_MS: "50" });
    for (let failure = 0; failure < 4; failure++) expect((await ask(STRANGER)).status).toBe(401);
    expect(await delayed()).toBe(1);
  });

  it("never waits at a port on loopback, where all clients of a proxy are one address", async () => {
    await open({ CHECK_MAX_FAILURES_PER_MINUTE: "1", CHECK_FAILURE_DELAY_MS: "60000" });
    for (let failure = 0; failure < 4; failure++) expect((await ask(STRANGER)).status).toBe(401);
    expect(await delayed()).toBe(0);
  });
});

describe("the check port with TLS", () => {
  let server: Certificate;
  let authority: Certificate;
  beforeAll(async () => {
    [server, authority] = await Promise.all([selfSigned("localhost"), selfSigned("proxies")]);
  });

  /** The status of a check over TLS, or the code of the error. */
  async function check(options: ConnectionOptions): Promise<number | string> {
    const port = stack.bridge.checkAddress?.port ?? 0;
    const socket = connectTls({ host: "127.0.0.1", port, ca: server.cert, ...options });
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    const failed = new Promise<string>((resolve) => {
      socket.on("error", (error) => resolve("code" in error ? String(error.code) : error.message));
    });
    socket.write(request(STRANGER, "Connection: close"));
    const ended = once(socket, "close").then(() => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]));
    return Promise.race([failed, ended]);
  }

  it("serves who trusts its certificate, with TLS 1.2 or later", async () => {
    await open({ CHECK_TLS_CERT: server.cert, CHECK_TLS_KEY: server.key });
    expect(await check({})).toBe(401);
    expect(await check({ maxVersion: "TLSv1.2" })).toBe(401);
    expect(await check({ minVersion: "TLSv1.1", maxVersion: "TLSv1.1" })).not.toBe(401);
  });

  it("with CHECK_TLS_CLIENT_CA serves only clients with a certificate of it, whose failures it does not count", async () => {
    await open({
      CHECK_HOST: "0.0.0.0",
      CHECK_TLS_CERT: server.cert,
      CHECK_TLS_KEY: server.key,
      CHECK_TLS_CLIENT_CA: authority.cert,
      CHECK_MAX_FAILURES_PER_MINUTE: "1",
      CHECK_FAILURE_DELAY_MS: "60000",
    });
    expect(await check({})).not.toBe(401);
    expect(await check({ cert: server.cert, key: server.key })).not.toBe(401);
    for (let failure = 0; failure < 3; failure++) {
      expect(await check({ cert: authority.cert, key: authority.key })).toBe(401);
    }
    expect(await stack.metric('artoria_bridge_check_refusals_total{code="tls_handshake"}')).toBeGreaterThan(0);
  });
});
