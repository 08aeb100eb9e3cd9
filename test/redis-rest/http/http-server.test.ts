import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseRedisRestConfig } from "../../../redis-rest/config.ts";
import { type RedisRest, startRedisRest } from "../../../redis-rest/server.ts";
import { REDIS_REST_TOKEN, restCall, restPost, startTestRedisRest } from "../../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../../support/redis/redis-server.ts";

let server: RedisServer;
let rest: RedisRest;

beforeAll(async () => {
  server = await startRedisServer();
  rest = await startTestRedisRest({ REDIS_URL: server.url });
});
beforeEach(async () => {
  await restPost(rest, "/", ["FLUSHDB"]);
});
afterAll(async () => {
  await rest?.close();
  await server?.stop();
});

/** A connection on which a request has begun; the body is the test's to send. */
async function begin(line: string, ...headers: string[]): Promise<Socket> {
  const socket = connect(rest.port, "127.0.0.1");
  await once(socket, "connect");
  const head = [`${line} HTTP/1.1`, "Host: localhost", `Authorization: Bearer ${REDIS_REST_TOKEN}`, ...headers];
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  return socket;
}

/** All that comes until the server ends the connection. */
async function responseOn(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk));
  await once(socket, "close");
  return text;
}

async function ask(line: string, ...headers: string[]): Promise<string> {
  return responseOn(await begin(line, "Connection: close", ...headers));
}

describe("of a request's body", () => {
  test("a body may arrive in pieces, with or without a stated length", async () => {
    const stated = await begin("POST /pipeline", "Connection: close", "Content-Length: 17");
    stated.setNoDelay(true);
    stated.write('[["SET",');
    await restPost(rest, "/", ["PING"]);
    stated.write('"a","1"]]');
    expect(await responseOn(stated)).toContain('[{"result":"OK"}]');
    const chunked = await begin("POST /", "Connection: close", "Transfer-Encoding: chunked");
    chunked.write('7\r\n["GET",\r\n');
    await restPost(rest, "/", ["PING"]);
    chunked.write('4\r\n"a"]\r\n0\r\n\r\n');
    expect(await responseOn(chunked)).toContain('{"result":"1"}');
  });

  test("a body whose stated length is too large is refused before it arrives", async () => {
    const response = await responseOn(await begin("POST /", `Content-Length: ${10 * 2 ** 20 + 1}`));
    expect(response).toMatch(/^HTTP\/1\.1 413 .*max request size exceeded/s);
  });

  test("a body without a stated length is refused as soon as it is too large, and nothing is executed", async () => {
    const megabyte = Buffer.alloc(2 ** 20, "x");
    const socket = await begin("POST /set/large", "Transfer-Encoding: chunked");
    const response = responseOn(socket);
    for (let at = 0; at < 10; at++) {
      socket.write("100000\r\n");
      socket.write(megabyte);
      socket.write("\r\n");
    }
    // The last chunk never comes.
    socket.write("1\r\nx\r\n");
    expect(await response).toMatch(/^HTTP\/1\.1 413 .*max request size exceeded/s);
    expect((await restPost(rest, "/", ["EXISTS", "large"])).json).toEqual({ result: 0 });
  });

  test("a request that is refused whatever its body is gets its response before the body has arrived", async () => {
    const response = await responseOn(await begin("DELETE /", "Content-Length: 1000"));
    expect(response).toMatch(/^HTTP\/1\.1 405 /);
  });

  test("a body that breaks off ends its request only", async () => {
    const socket = await begin("POST /", "Content-Length: 1000");
    socket.write('["SET","a","1"');
    await restPost(rest, "/", ["PING"]);
    socket.destroy();
    await once(socket, "close");
    expect((await restPost(rest, "/", ["EXISTS", "a"])).json).toEqual({ result: 0 });
  });

  test("the body of a GET is no argument, and a byte order mark is no part of JSON", async () => {
    const socket = await begin("GET /echo", "Connection: close", "Content-Length: 1");
    socket.write("x");
    expect(await responseOn(socket)).toContain("wrong number of arguments");
    const marked = await restCall(rest, "/", { method: "POST", body: '\ufeff["ECHO","x"]' });
    expect(marked.json).toEqual({ result: "x" });
  });
});

test("a HEAD gets the status of the GET, and no body", async () => {
  await restPost(rest, "/", ["SET", "a", "value"]);
  expect(await ask("HEAD /get/a")).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\n$/s);
  expect(await ask("HEAD /healthz")).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\n$/s);
  expect(await ask("HEAD /get")).toMatch(/^HTTP\/1\.1 400 .*\r\n\r\n$/s);
});

test("a target may be a whole URL; a target that a URL would change, or of another scheme, is refused", async () => {
  expect(await ask("GET http://elsewhere/echo/x")).toContain('{"result":"x"}');
  for (const target of ["/echo/a\\b", "ftp://elsewhere/echo/x", "http://[/echo/x", "*"]) {
    expect(await ask(`GET ${target}`)).toMatch(/^HTTP\/1\.1 400 /);
  }
});

test("concurrent requests of many connections each get their own replies", async () => {
  const asked = Array.from({ length: 200 }, (_, at) => `한-${at}`);
  const responses = await Promise.all(
    asked.map((text) =>
      restPost(rest, "/pipeline", [
        ["ECHO", text],
        ["INCR", text],
      ]),
    ),
  );
  expect(responses.map(({ json }) => json)).toEqual(asked.map((text) => [{ result: text }, { result: 1 }]));
});

test("a request to a server that is not open yet waits for its response", async () => {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  const config = parseRedisRestConfig({ REDIS_URL: server.url, REDIS_REST_TOKEN, REDIS_REST_PORT: "0" });
  const closed = await startRedisRest(config, { opened });
  try {
    const response = fetch(`${closed.url}/healthz`).then(({ status }) => status);
    await restPost(rest, "/", ["PING"]);
    expect(await Promise.race([response, "none"])).toBe("none");
    open();
    expect(await response).toBe(200);
  } finally {
    await closed.close();
  }
});
