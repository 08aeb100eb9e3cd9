import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { allowCheck, type CheckResponse } from "../../../protocol/check/check-response.ts";
import { PlainConnection } from "../../../tcp-bridge/check/plain-connection.ts";

const REQUEST = "GET /v1/check HTTP/1.1\r\nHost: a\r\n\r\n";
const ALLOWED = allowCheck({ sessid: 7, user: "kim" }, { source: "store", ageSeconds: 0 });

const server = createServer();
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

it("gives a request the time that its answer takes: the limits are for what the client does", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<CheckResponse>();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  sockets.push(client, socket);
  new PlainConnection(socket, {
    answer: () => {
      asked.resolve();
      return answer.promise;
    },
    handOver: () => undefined,
    isDraining: () => false,
    firstMs: 60_000,
    idleMs: 120_000,
    unreadMs: 180_000,
  });
  expect(socket.timeout).toBe(60_000);
  client.write(REQUEST);
  await asked.promise;
  await Promise.resolve();
  expect(socket.timeout).toBe(0);
  answer.resolve(ALLOWED);
  expect(String(await once(client, "data"))).toMatch(/^HTTP\/1\.1 200 /);
  expect(socket.timeout).toBe(120_000);
});
