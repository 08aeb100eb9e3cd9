import { once } from "node:events";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Connector, type TlsTrust } from "../../../client/connector.ts";
import { ServiceClient } from "../../../client/service-client.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { type Certificate, selfSigned } from "../../support/peers/certificates.ts";
import { GamePeer, requestBytes } from "../../support/peers/game-peer.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

let server: Certificate;
let clientAuthority: Certificate;
let stranger: Certificate;
let stack: TestBridge;

beforeAll(async () => {
  [server, clientAuthority, stranger] = await Promise.all([
    selfSigned("localhost"),
    selfSigned("game servers"),
    selfSigned("a stranger"),
  ]);
});
afterEach(() => stack.close());

async function openTls(variables: Readonly<Record<string, string>> = {}): Promise<void> {
  stack = await TestBridge.open({ BRIDGE_TLS_CERT: server.cert, BRIDGE_TLS_KEY: server.key, ...variables });
}

/** The verdict of a check over TLS, or the code of the error. */
async function check(tls: TlsTrust): Promise<Status | string> {
  const connector = new Connector({ host: "127.0.0.1", port: stack.bridge.gameAddress.port, tls });
  let client: ServiceClient | undefined;
  try {
    client = await connector.connect((socket) => new ServiceClient(socket));
    return (await client.request({ kind: "check", sessid: 7 })).status;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    client?.close();
  }
}

describe("the game-server port with TLS", () => {
  it("serves a client that trusts its certificate", async () => {
    await openTls();
    stack.edge.sessions.users.set(7, "kim");
    expect(await check({ ca: server.cert })).toBe(Status.Ok);
    expect(await check({ ca: stranger.cert })).toBe("connect_failed");
  });

  it("responds to a client that has closed its side", async () => {
    await openTls();
    const { port } = stack.bridge.gameAddress;
    const halfOpen = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    const socket = connectTls({ socket: halfOpen, host: "127.0.0.1", ca: server.cert });
    const peer = new GamePeer(socket);
    await once(socket, "secureConnect");
    socket.end(requestBytes({ kind: "check", sessid: 7 }));
    expect(await peer.untilEnded()).toMatchObject([{ status: Status.NotFound }]);
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 0);
  });

  it("refuses TLS older than 1.2", async () => {
    await openTls();
    const { port } = stack.bridge.gameAddress;
    const options = { host: "127.0.0.1", port, ca: server.cert, ciphers: "DEFAULT@SECLEVEL=0" };
    const old = connectTls({ ...options, minVersion: "TLSv1" as const, maxVersion: "TLSv1.1" as const });
    await expect(once(old, "secureConnect")).rejects.toThrow();
  });

  it("accepts only clients with a certificate of its authority if it has one", async () => {
    await openTls({ BRIDGE_TLS_CLIENT_CA: clientAuthority.cert });
    const { cert, key } = clientAuthority;
    expect(await check({ ca: server.cert, cert, key })).toBe(Status.NotFound);
    // With TLS 1.3 a client learns of the refusal only after its own handshake.
    expect(["closed", "connect_failed"]).toContain(await check({ ca: server.cert }));
    const foreign = { cert: stranger.cert, key: stranger.key };
    expect(["closed", "connect_failed"]).toContain(await check({ ca: server.cert, ...foreign }));
    expect(stack.edge.batches).toEqual([["check"]]);
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 0);
    expect(await stack.metric('artoria_bridge_refusals_total{code="tls_handshake"}')).toBe(2);
  });

  it("counts a connection in its handshake, and ends it if the handshake takes too long", async () => {
    await openTls({ BRIDGE_PACKET_TIMEOUT_MS: "200" });
    const silent = connect(stack.bridge.gameAddress.port, "127.0.0.1");
    await once(silent, "connect");
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 1);
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 0);
    expect(await stack.metric('artoria_bridge_refusals_total{code="tls_handshake"}')).toBe(1);
    silent.destroy();
  });
});
