import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tlsTransport } from "../../client/node/tls-transport.ts";
import { webSocketTransport } from "../../client/node/web-socket-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import type { Transport } from "../../client/reliable/transport.ts";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { parseToken } from "../../protocol/session-token.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";

const ROUNDS = 5;
const MESSAGES_PER_ROUND = 30;

let stack: RunningStack;
let toBridge: TcpProxy;
let toEdge: TcpProxy;

beforeAll(async () => {
  stack = await startStackOn("embedded");
  toBridge = await TcpProxy.open(stack.playerAddress.port);
  toEdge = await TcpProxy.open(Number(new URL(stack.edgeUrl).port));
});
afterAll(async () => {
  await toBridge.close();
  await toEdge.close();
  await stack.close();
});

async function issue(user: string): Promise<Uint8Array> {
  const response = await askAsService(stack, "POST", "/v1/sessions", { user });
  const { token } = (await response.json()) as { token: string };
  const bytes = parseToken(token);
  if (bytes === undefined) throw new Error("no token");
  return bytes;
}

function overBridge(token: Uint8Array): Transport {
  const trust = { fingerprint: stack.playerFingerprint };
  return tlsTransport({ host: "127.0.0.1", port: toBridge.port, token, trust });
}

function overEdge(token: Uint8Array): Transport {
  return webSocketTransport({ edgeUrl: `http://127.0.0.1:${toEdge.port}`, token });
}

/** Joins; what others say arrives in `heard`. */
function join(transport: Transport, room: string, heard: string[]): ReliableConnection {
  const connection = new ReliableConnection({ transport, room, limits: { backOffCapMs: 500 } });
  connection.on("message", ({ from, body }) => {
    if (from !== connection.member) heard.push(Buffer.from(body).toString());
  });
  connection.connect();
  return connection;
}

describe("reliable connections of both kinds in one room", () => {
  test("exchange every message once and in order, although the connections to bridge and edge are cut", async () => {
    const heard: { kim: string[]; lee: string[] } = { kim: [], lee: [] };
    const failures: unknown[] = [];
    const kim = join(overBridge(await issue("kim")), "cuts", heard.kim);
    const lee = join(overEdge(await issue("lee")), "cuts", heard.lee);
    for (const connection of [kim, lee]) connection.on("handoverFailed", (event) => failures.push(event));
    await until(() => kim.state === "Established" && lee.state === "Established");
    const said: { kim: string[]; lee: string[] } = { kim: [], lee: [] };
    for (let round = 0; round < ROUNDS; round++) {
      for (let at = 0; at < MESSAGES_PER_ROUND; at++) {
        for (const [name, connection] of Object.entries({ kim, lee }) as ["kim" | "lee", ReliableConnection][]) {
          said[name].push(`${name} ${round}.${at}`);
          expect(connection.send(Buffer.from(`${name} ${round}.${at}`)).kind).toBe("queued");
        }
      }
      await until(() => heard.lee.length > round * MESSAGES_PER_ROUND);
      toBridge.cut();
      toEdge.cut();
    }
    await until(() => heard.kim.length >= said.lee.length && heard.lee.length >= said.kim.length);
    await until(() => kim.unackedMessages === 0 && lee.unackedMessages === 0);
    expect(heard).toEqual({ kim: said.lee, lee: said.kim });
    expect(failures).toEqual([]);
    for (const connection of [kim, lee]) connection.disconnect();
    expect(await kim.closed).toMatchObject({ code: ClosedCode.Left, unacked: [] });
    expect(await lee.closed).toMatchObject({ code: ClosedCode.Left, unacked: [] });
  });

  test.each([
    ["the bridge", overBridge],
    ["the edge", overEdge],
  ])("are told by %s that a token is not valid, and stay away", async (_where, transport) => {
    const stranger = join(transport(new Uint8Array(20).fill(9)), "strangers", []);
    expect(await stranger.closed).toMatchObject({ code: ClosedCode.SessionInvalid });
  });
});
