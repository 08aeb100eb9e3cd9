import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Status } from "../../../protocol/status-codes.ts";
import { MAX_AWAITED_HEADERS } from "../../../tcp-bridge/core/trusted-proxies.ts";
import { binaryHeader, clientLine, ipv4Block, ipv6Block, lineHeader } from "../../support/packets/proxy-headers.ts";
import { type Certificate, selfSigned } from "../../support/peers/certificates.ts";
import { GamePeer, requestBytes } from "../../support/peers/game-peer.ts";
import { PlayerBridge } from "../../support/peers/player-bridge.ts";
import { join } from "../../support/peers/player-peer.ts";
import { askRaw, RawConnection, type RawRequest } from "../../support/peers/raw-http.ts";
import { ScriptedEdge } from "../../support/peers/scripted-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

const PROXIED = {
  ...{ BRIDGE_PROXY_PROTOCOL: "1", TRUSTED_PROXIES: "127.0.0.1" },
  ...{ BRIDGE_ALLOW_PLAINTEXT: "1", BRIDGE_ALLOW_ANYONE: "1", CHECK_ALLOW_PLAINTEXT: "1" },
};
const CHECK = { kind: "check", sessid: 7 } as const;
const KIM = binaryHeader({ addresses: ipv4Block("192.0.2.1") });
const LEE = binaryHeader({ addresses: ipv4Block("192.0.2.2") });
const LOCAL = binaryHeader({ versionAndCommand: 0x20, family: 0, addresses: Buffer.alloc(0) });

let certificate: Certificate;
beforeAll(async () => {
  certificate = await selfSigned("localhost");
});

let stack: TestBridge;
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await stack?.close();
});

async function open(variables: Readonly<Record<string, string>> = {}): Promise<void> {
  stack = await TestBridge.open({ ...PROXIED, ...variables });
  stack.edge.sessions.users.set(7, "kim");
}

/** A connection on which these bytes were written. */
async function dial(address: AddressInfo, bytes: Uint8Array, localAddress = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port: address.port, localAddress, allowHalfOpen: true });
  sockets.push(socket.on("error", () => undefined));
  socket.write(bytes);
  await Promise.race([once(socket, "connect"), once(socket, "close")]);
  return socket;
}

/** A game server that a proxy has connected. */
async function peerBehind(header: Uint8Array): Promise<GamePeer> {
  return new GamePeer(await dial(stack.bridge.gameAddress, header));
}

/** The statuses of checks that a client of this header asks for on a connection of its own. */
async function statusesOf(header: Uint8Array, count: number): Promise<unknown[]> {
  const peer = await peerBehind(header);
  for (let asked = 1; asked <= count; asked += 1) {
    peer.send({ kind: "check", sessid: 8 });
    await peer.received(asked);
  }
  return peer.responses.map(({ status }) => status);
}

const refusals = (code: string, port = "") => stack.metric(`artoria_bridge_${port}refusals_total{code="${code}"}`);

describe("a game-server port behind proxies", () => {
  it.each([
    ["version 1", clientLine({ source: "192.0.2.1" })],
    ["version 2", KIM],
    ["version 2 with a checksum", binaryHeader({ checksum: true })],
    ["version 2 for nobody in particular", LOCAL],
    ["version 1 for nobody in particular", lineHeader("PROXY UNKNOWN")],
  ])("serves a client whose proxy sends %s, in one piece with a request and byte by byte", async (_, header) => {
    await open();
    const bytes = Buffer.concat([header, requestBytes(CHECK)]);
    const whole = new GamePeer(await dial(stack.bridge.gameAddress, bytes));
    whole.socket.end();
    expect(await whole.untilEnded()).toMatchObject([{ status: Status.Ok }]);
    const slow = await peerBehind(new Uint8Array(0));
    for (const byte of bytes) {
      slow.socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    expect(await slow.received(1)).toMatchObject([{ status: Status.Ok }]);
  });

  it("refuses whoever is no proxy at once, whatever it sends, and warns of it once", async () => {
    await open();
    for (const bytes of [KIM, requestBytes(CHECK)]) {
      const peer = new GamePeer(await dial(stack.bridge.gameAddress, bytes, "127.0.0.9"));
      expect(await peer.untilEnded()).toEqual([]);
    }
    expect(await refusals("untrusted_proxy")).toBe(2);
    expect(stack.log.filter((line) => line.includes("TRUSTED_PROXIES") && line.includes('"level":40'))).toHaveLength(1);
    expect(stack.edge.batches).toEqual([]);
  });

  it.each([
    ["no header", requestBytes(CHECK)],
    ["a broken one", lineHeader("PROXY TCP4 192.0.2.1 nobody 1 2")],
    ["a checksum that is wrong", binaryHeader({ extensions: [[3, Buffer.from("nope")]] })],
    ["one over the bound", binaryHeader({ length: 0xffff })],
  ])("refuses a proxy's connection with %s", async (_, bytes) => {
    await open();
    const peer = await peerBehind(bytes);
    expect(await peer.untilEnded()).toEqual([]);
    expect(await refusals("proxy_header")).toBe(1);
    expect(stack.edge.batches).toEqual([]);
  });

  it("takes a second header for bytes of the client", async () => {
    await open();
    const peer = await peerBehind(Buffer.concat([KIM, LEE, requestBytes(CHECK)]));
    const responses = await peer.untilEnded();
    expect(responses.map(({ kind }) => kind)).toEqual(["error"]);
    expect(stack.edge.batches).toEqual([]);
  });

  it("refuses a header that comes too slowly, and one that ends half-way", async () => {
    await open({ BRIDGE_FIRST_BYTE_MS: "200" });
    const long = binaryHeader({ extensions: [[0x04, new Uint8Array(4000)]] });
    const [slow, half] = [await peerBehind(long.subarray(0, 20)), await peerBehind(KIM.subarray(0, 20))];
    half.socket.end();
    let sent = 20;
    const drip = setInterval(() => slow.socket.write(long.subarray(sent, ++sent)), 10);
    await Promise.all([slow.untilEnded(), half.untilEnded()]);
    clearInterval(drip);
    expect(await refusals("proxy_header")).toBe(2);
  });

  it("gives each client its own limits", async () => {
    await open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "2" });
    const { NotFound, TooMany } = Status;
    expect(await statusesOf(KIM, 3)).toEqual([NotFound, NotFound, TooMany]);
    expect(await statusesOf(LEE, 2)).toEqual([NotFound, NotFound]);
    expect(await statusesOf(clientLine({ source: "::ffff:192.0.2.1" }), 1)).toEqual([TooMany]);
    const network = [0x2001, 0xdb8, 1, 2];
    const [first, second] = [
      [...network, 0, 0, 0, 1],
      [...network, 9, 9, 9, 9],
    ].map((source) => binaryHeader({ family: 0x21, addresses: ipv6Block(source) }));
    expect(await statusesOf(first ?? LOCAL, 2)).toEqual([NotFound, NotFound]);
    expect(await statusesOf(second ?? LOCAL, 1)).toEqual([TooMany]);
  });

  it("counts places by client: the next one of an address takes the place of its oldest, and of no other", async () => {
    await open({ BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: "1" });
    const [first, other] = [await peerBehind(KIM), await peerBehind(LEE)];
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 2);
    const second = await peerBehind(KIM);
    await first.untilEnded();
    for (const peer of [second, other]) {
      peer.send(CHECK);
      expect(await peer.received(1)).toMatchObject([{ status: Status.Ok }]);
    }
  });

  it("lets a proxy look whether the port is open, with LOCAL and without a header, and counts no failure", async () => {
    await open({ BRIDGE_TLS_CERT: certificate.cert, BRIDGE_TLS_KEY: certificate.key });
    const seen = [];
    // HAProxy's check with version 1 names itself.
    const self = await dial(stack.bridge.gameAddress, new Uint8Array(0));
    self.write(clientLine({ source: "127.0.0.1", sourcePort: self.localPort ?? 0 }));
    seen.push(once(self.resume(), "close"));
    self.end();
    for (const bytes of [LOCAL, lineHeader("PROXY UNKNOWN"), new Uint8Array(0)]) {
      const closed = await dial(stack.bridge.gameAddress, bytes);
      seen.push(once(closed.resume(), "close"));
      closed.end();
      const reset = await dial(stack.bridge.gameAddress, bytes);
      seen.push(once(reset, "close"));
      reset.resetAndDestroy();
    }
    await Promise.all(seen);
    const client = await dial(stack.bridge.gameAddress, KIM);
    const peer = new GamePeer(connectTls({ socket: client, host: "127.0.0.1", ca: certificate.cert }));
    peer.send(CHECK);
    expect(await peer.received(1)).toMatchObject([{ status: Status.Ok }]);
    const { body } = await stack.watch("/metrics");
    expect(body).not.toMatch(/^artoria_bridge_(refusals|disconnects)_total\{/m);
  });

  it("takes a client on the proxy's own machine for a client", async () => {
    await open();
    const socket = await dial(stack.bridge.gameAddress, new Uint8Array(0));
    socket.write(clientLine({ source: "127.0.0.1", sourcePort: (socket.localPort ?? 0) ^ 1 }));
    // It has a place without a further byte, which a connection of the proxy for itself has not.
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 1);
  });

  it("serves its clients while a proxy's address holds any number of connections without a header", async () => {
    await open();
    const silent = await Promise.all(
      Array.from({ length: MAX_AWAITED_HEADERS + 100 }, () => dial(stack.bridge.gameAddress, KIM.subarray(0, 5))),
    );
    expect(await statusesOf(LEE, 1)).toEqual([Status.NotFound]);
    await until(async () => (await refusals("evicted")) === 100 + 1);
    expect(await stack.metric("artoria_bridge_connections")).toBe(1);
    expect(silent).toHaveLength(MAX_AWAITED_HEADERS + 100);
  });

  it("serves a crowd that a proxy connects all at once", async () => {
    await open();
    const bytes = Buffer.concat([KIM, requestBytes(CHECK)]);
    const peers = await Promise.all(
      Array.from({ length: 900 }, async () => new GamePeer(await dial(stack.bridge.gameAddress, bytes))),
    );
    const answered = await Promise.all(peers.map((peer) => peer.received(1)));
    expect(answered.filter(([first]) => first?.status === Status.Ok)).toHaveLength(900);
  });

  it("ends who has not shown a header when it drains", async () => {
    await open();
    const waiting = await peerBehind(KIM.subarray(0, 5));
    await until(() => waiting.socket.readyState === "open");
    await Promise.all([waiting.untilEnded(), stack.bridge.drain()]);
  });
});

describe("a check port behind proxies", () => {
  /** The status of a check through a proxy. */
  async function ask(header: Uint8Array, request: RawRequest = {}): Promise<number> {
    const connection = await RawConnection.open(stack.checkUrl);
    sockets.push(connection.socket);
    const { method = "GET", lines = [] } = request;
    connection.send(Buffer.from(header).toString("latin1"));
    connection.send([`${method} /v1/check HTTP/1.1`, "Host: a", "Connection: close", ...lines, "", ""].join("\r\n"));
    return Number(/^HTTP\/1\.1 (\d+)/.exec(await connection.ended())?.[1]);
  }

  it("answers plain requests and those that node:http reads", async () => {
    await open({ CHECK_PORT: "0" });
    expect(await ask(KIM)).toBe(401);
    expect(await ask(clientLine({ source: "192.0.2.1" }), { method: "POST", lines: ["Content-Length: 0"] })).toBe(401);
    expect(await ask(LOCAL)).toBe(401);
  });

  it("answers over TLS", async () => {
    await open({ CHECK_PORT: "0", CHECK_TLS_CERT: certificate.cert, CHECK_TLS_KEY: certificate.key });
    for (const header of [KIM, clientLine({ source: "2001:db8::7" })]) {
      const { port } = stack.bridge.checkAddress as AddressInfo;
      const below = await dial({ port } as AddressInfo, header);
      const socket = connectTls({ socket: below, host: "127.0.0.1", ca: certificate.cert }).setEncoding("latin1");
      socket.write("GET /v1/check HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      let text = "";
      for await (const chunk of socket) text += chunk;
      expect(text).toMatch(/^HTTP\/1\.1 401 /);
    }
  });

  it("refuses requests without a header, and who is no proxy", async () => {
    await open({ CHECK_PORT: "0" });
    await expect(askRaw(stack.checkUrl, {})).rejects.toThrow("no response");
    await expect(askRaw(stack.checkUrl, {}, "127.0.0.9")).rejects.toThrow("no response");
    expect([await refusals("proxy_header", "check_"), await refusals("untrusted_proxy", "check_")]).toEqual([1, 1]);
  });

  it("delays guesses by client, though the port is on loopback", async () => {
    await open({ CHECK_PORT: "0", CHECK_MAX_FAILURES_PER_MINUTE: "1", CHECK_FAILURE_DELAY_MS: "1" });
    const lines = ["Authorization: Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAA"];
    const delayed = () => stack.metric("artoria_bridge_checks_delayed_total");
    expect([await ask(KIM, { lines }), await delayed()]).toEqual([401, 0]);
    expect([await ask(LEE, { lines }), await delayed()]).toEqual([401, 0]);
    expect([await ask(KIM, { lines }), await delayed()]).toEqual([401, 1]);
  });
});

describe("a player port behind proxies", () => {
  let edge: ScriptedEdge;
  let bridge: PlayerBridge;
  afterEach(async () => {
    await bridge.close();
    await edge.close();
  });

  it("relays a player's Join, and delays failing ones by player", async () => {
    edge = await ScriptedEdge.open();
    const variables = { BRIDGE_PROXY_PROTOCOL: "player", TRUSTED_PROXIES: "127.0.0.1" };
    bridge = await PlayerBridge.open(edge.url, { ...variables, PLAYER_MAX_CONNECTIONS_PER_ADDRESS: "1" });
    const [kim, lee] = [await bridge.connect("127.0.0.1", KIM), await bridge.connect("127.0.0.1", LEE)];
    kim.send(join(7));
    const room = await edge.socket();
    await until(() => room.packets.length === 1);
    room.letIn();
    await kim.received("joined");
    // Kim's only place is taken by a player; lee's by nobody who has joined.
    const [again, other] = [await bridge.connect("127.0.0.1", KIM), await bridge.connect("127.0.0.1", LEE)];
    await until(() => again.ended && lee.ended);
    expect([kim.ended, other.ended]).toEqual([false, false]);
    const stranger = await bridge.connect("127.0.0.9", LEE);
    await until(() => stranger.ended);
    expect(await bridge.metric('refusals_total{code="untrusted_proxy"}')).toBe(1);
  });
});
