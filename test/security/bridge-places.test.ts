import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { Status } from "../../protocol/status-codes.ts";
import { type Certificate, selfSigned } from "../support/peers/certificates.ts";
import { GamePeer, requestBytes } from "../support/peers/game-peer.ts";
import { PacketEdge } from "../support/peers/packet-edge.ts";
import { PlayerBridge } from "../support/peers/player-bridge.ts";
import { join, playerBytes } from "../support/peers/player-peer.ts";
import { ScriptedEdge } from "../support/peers/scripted-edge.ts";
import { TestBridge } from "../support/peers/test-bridge.ts";
import { Program } from "../support/processes/program.ts";
import { until } from "../support/until.ts";

/** Each of 11 addresses takes all it may of a port of 100. */
const ADDRESSES = Array.from({ length: 11 }, (_, index) => `127.0.1.${index + 1}`);
const PER_ADDRESS = 10;
const GAME_PLACES = { BRIDGE_MAX_CONNECTIONS: "100", BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: String(PER_ADDRESS) };
const PLAYER_PLACES = { PLAYER_MAX_CONNECTIONS: "100", PLAYER_MAX_CONNECTIONS_PER_ADDRESS: String(PER_ADDRESS) };

let server: Certificate;
beforeAll(async () => {
  server = await selfSigned("localhost");
});

const sockets: Socket[] = [];
const stacks: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const stack of stacks.splice(0)) await stack.close();
});

function started<T extends { close(): Promise<void> }>(stack: T): T {
  stacks.unshift(stack);
  return stack;
}

async function dial({ address: host, port }: Pick<AddressInfo, "address" | "port">, localAddress: string, first = "") {
  const socket = connect({ host, port, localAddress });
  sockets.push(socket.on("error", () => {}).resume());
  await Promise.race([once(socket, "connect"), once(socket, "close")]);
  if (first !== "") socket.write(Buffer.from(first, "latin1"));
  return socket;
}

/** From every address as many connections as it may have, each with these first bytes. */
async function fill(address: AddressInfo, first = ""): Promise<void> {
  const dials = ADDRESSES.flatMap((from) => Array.from({ length: PER_ADDRESS }, () => dial(address, from, first)));
  await Promise.all(dials);
}

async function checkFrom(stack: TestBridge, address: string): Promise<unknown> {
  const peer = await stack.connect(address);
  peer.send({ kind: "check", sessid: 7 });
  const [answer] = await peer.received(1);
  return answer?.status;
}

describe("11 addresses that fill the game port", () => {
  it.each([
    ["silent", ""],
    ["half-sent", "\x08\x00\x01"],
  ])("with %s connections keep nobody out, not even at their own addresses", async (_, first) => {
    const stack = started(await TestBridge.open(GAME_PLACES));
    const served = await stack.connect();
    served.send({ kind: "count" });
    await served.received(1);
    await fill(stack.bridge.gameAddress, first);
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 100);
    expect(await checkFrom(stack, "127.0.0.9")).toBe(Status.NotFound);
    for (const address of ADDRESSES) expect(await checkFrom(stack, address)).toBe(Status.NotFound);
    served.send({ kind: "count" });
    expect(await served.received(2)).toHaveLength(2);
    expect(await stack.metric("artoria_bridge_connections")).toBe(100);
  });

  it("with connections that asked once and are silent since keep nobody out, and push out nobody who comes with few", async () => {
    const stack = started(await TestBridge.open({ ...GAME_PLACES, BRIDGE_FIRST_BYTE_MS: "200" }));
    const served = await stack.connect();
    served.send({ kind: "count" });
    let requests = 1;
    // On a slow machine it would be silent for longer than those who still come.
    const asking = setInterval(() => {
      served.send({ kind: "count" });
      requests += 1;
    }, 20);
    await fill(stack.bridge.gameAddress, "\x04\x00\x07\x00");
    clearInterval(asking);
    for (const address of ["127.0.0.9", ...ADDRESSES]) {
      await until(async () => (await checkFrom(stack, address)) === Status.NotFound);
    }
    served.send({ kind: "count" });
    expect(await served.received(requests + 1)).toHaveLength(requests + 1);
  });

  it("with TLS handshakes that never begin or stop half-way keep nobody out", async () => {
    const tls = { BRIDGE_TLS_CERT: server.cert, BRIDGE_TLS_KEY: server.key };
    const stack = started(await TestBridge.open({ ...GAME_PLACES, ...tls }));
    const address = stack.bridge.gameAddress;
    for (const first of ["", "\x16\x03\x01\x02\x00\x01"]) {
      await fill(address, first);
      await until(async () => (await stack.metric("artoria_bridge_connections")) === 100);
      const socket = connectTls({ host: "127.0.0.1", port: address.port, ca: server.cert });
      sockets.push(socket);
      await once(socket, "secureConnect");
      const peer = new GamePeer(socket);
      peer.send({ kind: "check", sessid: 7 });
      expect(await peer.received(1)).toMatchObject([{ status: Status.NotFound }]);
    }
  });

  it("is left by a connection that never says anything, after BRIDGE_FIRST_BYTE_MS", async () => {
    const stack = started(await TestBridge.open({ BRIDGE_FIRST_BYTE_MS: "200" }));
    const [silent, asking] = [await stack.connect(), await stack.connect()];
    asking.send({ kind: "count" });
    await silent.untilEnded();
    asking.send({ kind: "count" });
    expect(await asking.received(2)).toHaveLength(2);
    expect(await stack.metric('artoria_bridge_disconnects_total{code="first_byte"}')).toBe(1);
  });

  it("may be silent with a certificate of its authority: it is known", async () => {
    const authority = await selfSigned("game servers");
    const stack = started(
      await TestBridge.open({
        ...{ BRIDGE_TLS_CERT: server.cert, BRIDGE_TLS_KEY: server.key, BRIDGE_TLS_CLIENT_CA: authority.cert },
        ...{ BRIDGE_FIRST_BYTE_MS: "100", BRIDGE_MAX_CONNECTIONS: "2" },
      }),
    );
    const { port } = stack.bridge.gameAddress;
    const socket = connectTls({ host: "127.0.0.1", port, ca: server.cert, cert: authority.cert, key: authority.key });
    sockets.push(socket);
    await once(socket, "secureConnect");
    const refusals = 'artoria_bridge_refusals_total{code="evicted"}';
    for (let index = 0; index < 5; index++) await dial(stack.bridge.gameAddress, "127.0.0.2");
    await until(async () => (await stack.metric(refusals)) === 4);
    const peer = new GamePeer(socket);
    peer.send({ kind: "count" });
    expect(await peer.received(1)).toMatchObject([{ status: Status.Ok }]);
  });
});

describe("11 addresses that fill the player port", () => {
  it("without a handshake, a Join or an answer to it keep nobody out, and nobody who has joined loses the place", async () => {
    const edge = started(await ScriptedEdge.open());
    const bridge = started(await PlayerBridge.open(edge.url, PLAYER_PLACES));
    const member = await bridge.connect();
    member.send(join(1));
    (await edge.socket(0)).letIn();
    await member.received("joined");
    const halfJoin = Buffer.from(playerBytes(join(2)).subarray(0, 9)).toString("latin1");
    for (const first of ["", "\x16\x03\x01", halfJoin]) {
      await fill(bridge.address, first);
      await until(async () => (await bridge.metric("connections")) === 100);
      const index = edge.sockets.length;
      const player = await bridge.connect("127.0.0.9");
      player.send(join(3));
      (await edge.socket(index)).letIn();
      await player.received("joined");
      player.send({ kind: "leave" });
      player.close();
    }
    // In TLS, and silent or half-sent there.
    const handshakes = ADDRESSES.flatMap((from) => Array.from({ length: PER_ADDRESS }, () => bridge.connect(from)));
    for (const peer of await Promise.all(handshakes)) peer.socket.write(halfJoin, "latin1");
    const index = edge.sockets.length;
    const player = await bridge.connect("127.0.0.9");
    player.send(join(4));
    (await edge.socket(index)).letIn();
    await player.received("joined");
    member.send({ kind: "ping", nonce: 7 });
    (await edge.socket(0)).socket.send("pong");
    await member.received("pong");
  });
});

describe("the metrics port", () => {
  const HALF = "GET /metrics HTTP/1.1\r\nHost: x\r\n";

  it("answers one request of a connection, however many come behind it, and the game port is asked meanwhile", async () => {
    const stack = started(await TestBridge.open());
    const { port } = stack.bridge.metricsAddress;
    const flood = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000);
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const socket = connect(port, "127.0.0.1");
        sockets.push(socket);
        let text = "";
        socket.on("error", () => undefined);
        socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
        socket.write(flood);
        await until(() => socket.closed);
        return text;
      }),
    );
    for (const text of answers) expect(text.split("HTTP/1.1 200 OK").length - 1).toBeLessThanOrEqual(1);
    expect(await checkFrom(stack, "127.0.0.1")).toBe(Status.NotFound);
    expect((await stack.watch("/metrics")).status).toBe(200);
  });

  it("answers a probe while it is full of silent and half-sent requests", async () => {
    const stack = started(await TestBridge.open({ METRICS_MAX_CONNECTIONS: "20" }));
    for (const first of ["", HALF, "\r\n"]) {
      await Promise.all(Array.from({ length: 100 }, () => dial(stack.bridge.metricsAddress, "127.0.0.2", first)));
      expect(await stack.watch("/healthz")).toMatchObject({ status: 200 });
      expect(await stack.watch("/readyz")).toMatchObject({ status: 200 });
    }
    await until(() => sockets.filter(({ destroyed }) => !destroyed).length <= 20);
  });

  it("ends a connection whose headers do not come in time, and one whose body does not", async () => {
    const stack = started(await TestBridge.open({ METRICS_HEADERS_MS: "300", METRICS_REQUEST_MS: "600" }));
    const slow = [
      await dial(stack.bridge.metricsAddress, "127.0.0.1"),
      await dial(stack.bridge.metricsAddress, "127.0.0.1", HALF),
      await dial(stack.bridge.metricsAddress, "127.0.0.1", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"),
    ];
    const trickle = setInterval(() => slow[1]?.write("x"), 50);
    await until(() => slow.every(({ destroyed }) => destroyed));
    clearInterval(trickle);
  });

  it("leaves the game port its connections, with 1,700 half-sent requests and 512 open files", async () => {
    const edge = started(await PacketEdge.open());
    const [port, metricsPort] = [await freePort(), await freePort()];
    const bridge = new Program("sh", ["-c", `ulimit -n 512; exec "${process.execPath}" tcp-bridge/main.ts`], {
      ...{ EDGE_URL: edge.url, API_KEY: edge.apiKey, BRIDGE_PORT: String(port), METRICS_PORT: String(metricsPort) },
    });
    started({ close: () => bridge.kill() });
    await until(async () => (await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).ok);
    const metrics = { address: "127.0.0.1", port: metricsPort };
    for (let batch = 0; batch < 17; batch++) {
      await Promise.all(Array.from({ length: 100 }, () => dial(metrics, "127.0.0.2", HALF)));
    }
    const peer = new GamePeer(await dial({ address: "127.0.0.1", port }, "127.0.0.1"));
    peer.socket.write(requestBytes({ kind: "check", sessid: 7 }));
    expect(await peer.received(1)).toMatchObject([{ status: Status.NotFound }]);
    expect((await fetch(`http://127.0.0.1:${metricsPort}/healthz`)).ok).toBe(true);

    // And the game port leaves the metrics port its own, however few files there are.
    const game = { address: "127.0.0.1", port };
    for (let batch = 0; batch < 6; batch++) {
      await Promise.all(Array.from({ length: 100 }, (_, at) => dial(game, `127.0.2.${at + 1}`, "\x08")));
    }
    expect((await fetch(`http://127.0.0.1:${metricsPort}/healthz`)).ok).toBe(true);
    expect(bridge.output).toContain("limits lowered");
    expect(bridge.output).not.toContain("EMFILE");
  });
});
