import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Connector } from "../../client/connector.ts";
import { ServiceClient } from "../../client/service-client.ts";
import { Status } from "../../protocol/status-codes.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { PacketBytes } from "../support/packets/packet-bytes.ts";
import { type Certificate, selfSigned } from "../support/peers/certificates.ts";
import { requestBytes } from "../support/peers/game-peer.ts";
import { TestBridge } from "../support/peers/test-bridge.ts";
import { runProgram } from "../support/processes/program.ts";
import { until } from "../support/until.ts";

const KEY = "k".repeat(32);
const NEXT_KEY = `next-${"n".repeat(40)}`;
const edge = { EDGE_URL: "https://edge.example", API_KEY: "a".repeat(32) };

let server: Certificate;
let tls: { readonly BRIDGE_TLS_CERT: string; readonly BRIDGE_TLS_KEY: string };
beforeAll(async () => {
  server = await selfSigned("localhost");
  tls = { BRIDGE_TLS_CERT: server.cert, BRIDGE_TLS_KEY: server.key };
});

let stack: TestBridge | undefined;
afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

/** Why the bridge would not start with these variables, undefined if it would. */
function refusal(environment: Record<string, string>): string | undefined {
  try {
    parseBridgeConfig(environment);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function keyPacket(key: string): Uint8Array {
  return new PacketBytes().string(key).packet(18);
}

const issue = requestBytes({ kind: "issue", user: "root", ip: null });

describe("a bridge beyond loopback", () => {
  it.each(["0.0.0.0", "::", "192.0.2.1", "bridge.example"])("does not start on %s if anyone might ask", (host) => {
    const open = { ...edge, BRIDGE_HOST: host };
    for (const wire of [tls, { BRIDGE_ALLOW_PLAINTEXT: "1" }]) {
      expect(refusal({ ...open, ...wire })).toMatch(
        /^BRIDGE_HOST: .*BRIDGE_TLS_CLIENT_CA.*BRIDGE_SERVICE_KEYS.*BRIDGE_ALLOW_ANYONE=1/,
      );
      expect(refusal({ ...open, ...wire, BRIDGE_ALLOW_ANYONE: "0" })).toBeDefined();
      expect(refusal({ ...open, ...wire, BRIDGE_ALLOW_ANYONE: "1" })).toBeUndefined();
      expect(refusal({ ...open, ...wire, BRIDGE_SERVICE_KEYS: KEY })).toBeUndefined();
    }
    expect(refusal({ ...open, ...tls, BRIDGE_TLS_CLIENT_CA: server.cert })).toBeUndefined();
    // Who may ask says nothing of who may listen to the wire.
    expect(refusal({ ...open, BRIDGE_SERVICE_KEYS: KEY })).toMatch(/BRIDGE_ALLOW_PLAINTEXT=1$/);
  });

  it("says so in one line, and exits with 1", async () => {
    const { exitCode, stderr } = await runProgram("tcp-bridge/main.ts", [], {
      ...{ ...edge, ...tls, BRIDGE_HOST: "0.0.0.0", BRIDGE_PORT: "0", METRICS_PORT: "0" },
    });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^artoria bridge: BRIDGE_HOST: .*BRIDGE_ALLOW_ANYONE=1.*\n$/);
  });

  it("warns at each start if it serves anyone", async () => {
    const variables = { ...tls, BRIDGE_HOST: "0.0.0.0", API_KEY: edge.API_KEY };
    stack = await TestBridge.open({ ...variables, BRIDGE_ALLOW_ANYONE: "1" });
    const warnings = stack.log.filter((line) => line.includes('"level":40'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("BRIDGE_ALLOW_ANYONE");
    await stack.close();
    stack = await TestBridge.open({ ...variables, BRIDGE_ALLOW_ANYONE: "1", BRIDGE_SERVICE_KEYS: KEY });
    expect(stack.log.filter((line) => line.includes('"level":40'))).toEqual([]);
  });

  it("needs an API_KEY of 32 characters, and an edge that is asked by https", () => {
    const message = /^API_KEY: allowed are 32 characters or more/;
    const beyond = { ...tls, BRIDGE_HOST: "0.0.0.0", BRIDGE_SERVICE_KEYS: KEY };
    for (const key of ["k", "dev-key", "a".repeat(31)]) {
      expect(refusal({ ...edge, API_KEY: key })).toMatch(message);
      expect(refusal({ EDGE_URL: "http://127.0.0.1:8787", API_KEY: key, ...beyond })).toMatch(message);
      const player = { PLAYER_TLS_CERT: server.cert, PLAYER_TLS_KEY: server.key, PLAYER_HOST: "0.0.0.0" };
      expect(refusal({ EDGE_URL: "http://127.0.0.1:8787", API_KEY: key, ...player })).toMatch(message);
      for (const url of ["http://127.0.0.1:8787", "http://localhost:8787", "http://[::1]:8787"]) {
        expect(refusal({ EDGE_URL: url, API_KEY: key })).toBeUndefined();
      }
    }
    expect(refusal(edge)).toBeUndefined();
    for (const url of ["http://edge.example", "http://10.0.0.1:8787", "http://127.0.0.1.example", "http://[::2]"]) {
      expect(refusal({ ...edge, EDGE_URL: url })).toMatch(/^EDGE_URL: .*https/);
    }
  });

  it.each([
    ["k".repeat(31), "too short"],
    [`${KEY},short`, "one too short"],
    [`${KEY} ${KEY}`, "a space"],
    ["ä".repeat(32), "no ASCII"],
    ["k".repeat(256), "too long"],
    [`,${KEY}`, "an empty one"],
  ])("refuses the service keys %s: %s", (keys) => {
    const message = refusal({ ...edge, BRIDGE_SERVICE_KEYS: keys });
    expect(message).toMatch(/^BRIDGE_SERVICE_KEYS: allowed are .*32/);
    expect(message).not.toContain(keys);
  });
});

describe("a game port with service keys", () => {
  const keys = { BRIDGE_SERVICE_KEYS: `${KEY},${NEXT_KEY}` };

  it("lets in who shows one of them first, and answers what came with it", async () => {
    stack = await TestBridge.open(keys);
    for (const key of [KEY, NEXT_KEY]) {
      const peer = await stack.connect();
      peer.socket.write(Buffer.concat([keyPacket(key), requestBytes({ kind: "count" })]));
      expect(await peer.received(2)).toMatchObject([
        { kind: "serviceKey", status: Status.Ok },
        { kind: "count", status: Status.Ok },
      ]);
      // Byte by byte, later, and again.
      peer.send({ kind: "check", sessid: 7 });
      expect(await peer.received(3)).toMatchObject([{}, {}, { kind: "check", status: Status.NotFound }]);
    }
  });

  it("asks nothing of the edge for who shows none, a wrong one, or half of one", async () => {
    stack = await TestBridge.open(keys);
    const refused: readonly (readonly [Uint8Array, object])[] = [
      [issue, { kind: "error", status: Status.Denied }],
      [keyPacket("w".repeat(32)), { kind: "serviceKey", status: Status.Denied }],
      [keyPacket(KEY.slice(0, -1)), { kind: "serviceKey", status: Status.Denied }],
      [keyPacket(`${KEY},${NEXT_KEY}`), { kind: "serviceKey", status: Status.Denied }],
      [keyPacket(""), { kind: "serviceKey", status: Status.Invalid }],
      [new PacketBytes().packet(18), { kind: "serviceKey", status: Status.Invalid }],
      [new PacketBytes().string(KEY).u8(0).packet(18), { kind: "serviceKey", status: Status.Invalid }],
    ];
    const cases = refused.flatMap(([first, response]) =>
      [0, 1, first.byteLength - 1].map((split) => {
        const bytes = Buffer.concat([first, issue, keyPacket(KEY), issue]);
        return { response, begin: bytes.subarray(0, split), rest: bytes.subarray(split) };
      }),
    );
    const peers = await Promise.all(cases.map(() => (stack as TestBridge).connect()));
    for (const [index, { begin }] of cases.entries()) if (begin.byteLength > 0) peers[index]?.socket.write(begin);
    await until(async () => (await stack?.metric("artoria_bridge_connections")) === cases.length);
    for (const [index, { rest }] of cases.entries()) peers[index]?.socket.write(rest);
    for (const [index, { response }] of cases.entries()) {
      expect(await peers[index]?.untilEnded()).toMatchObject([response]);
    }
    expect(stack.edge.batches).toEqual([]);
    await until(async () => (await stack?.metric('artoria_bridge_disconnects_total{code="service_key"}')) === 21);
    expect(stack.log.join("")).not.toContain(KEY);
  });

  it("counts wrong keys by address, tells a guesser TooMany, and never refuses a right one", async () => {
    stack = await TestBridge.open({ ...keys, BRIDGE_MAX_WRONG_KEYS_PER_MINUTE: "3" });
    const show = async (key: string, address?: string): Promise<unknown> => {
      const peer = await (stack as TestBridge).connect(address);
      peer.socket.write(keyPacket(key));
      const [answer] = await peer.received(1);
      return answer?.status;
    };
    const wrong = (index: number): string => String(index).padStart(32, "0");
    for (let index = 0; index < 3; index++) expect(await show(wrong(index))).toBe(Status.Denied);
    expect(await show(wrong(4))).toBe(Status.TooMany);
    expect(await show(KEY)).toBe(Status.Ok);
    expect(await show(wrong(5), "127.0.0.2")).toBe(Status.Denied);
    expect(await stack.metric('artoria_bridge_refusals_total{code="wrong_keys"}')).toBe(1);
  });

  it("ends a connection that shows no key in time", async () => {
    stack = await TestBridge.open({ ...keys, BRIDGE_FIRST_BYTE_MS: "200" });
    const silent = await stack.connect();
    expect(await silent.untilEnded()).toEqual([]);
    expect(await stack.metric('artoria_bridge_disconnects_total{code="first_byte"}')).toBe(1);
  });

  it("is opened by the client and by the command line", async () => {
    stack = await TestBridge.open(keys);
    const { port } = stack.bridge.gameAddress;
    const connector = new Connector({ host: "127.0.0.1", port });
    const client = await connector.connect((socket) => new ServiceClient(socket, { serviceKey: KEY }));
    expect(await client.request({ kind: "count" })).toMatchObject({ status: Status.Ok });
    client.close();
    const wrong = await connector.connect((socket) => new ServiceClient(socket, { serviceKey: "w".repeat(32) }));
    await expect(wrong.request({ kind: "count" })).rejects.toMatchObject({
      code: "refused",
      message: "the service key is refused: Denied",
    });
    const variables = { BRIDGE_PORT: String(port) };
    const ask = (BRIDGE_SERVICE_KEY: string) =>
      runProgram("client/command/main.ts", ["count"], { ...variables, BRIDGE_SERVICE_KEY });
    const [opened, openedByOption, refused, without] = await Promise.all([
      ask(NEXT_KEY),
      runProgram("client/command/main.ts", ["count", "--service-key", KEY], variables),
      ask("w".repeat(32)),
      runProgram("client/command/main.ts", ["count"], variables),
    ]);
    expect([opened.exitCode, openedByOption.exitCode]).toEqual([0, 0]);
    expect(refused).toMatchObject({ exitCode: 2, stderr: "artoria: the service key is refused: Denied\n" });
    expect(without.exitCode).toBe(2);
  });

  it("asks for both if it has an authority too", async () => {
    const authority = await selfSigned("game servers");
    stack = await TestBridge.open({ ...keys, ...tls, BRIDGE_TLS_CLIENT_CA: authority.cert });
    const { port } = stack.bridge.gameAddress;
    const shown = { ca: server.cert, cert: authority.cert, key: authority.key };
    const connector = new Connector({ host: "127.0.0.1", port, tls: shown });
    const client = await connector.connect((socket) => new ServiceClient(socket));
    await expect(client.request({ kind: "issue", user: "root", ip: null })).rejects.toMatchObject({ code: "refused" });
    expect(stack.edge.batches).toEqual([]);
  });
});

it("a game port without service keys accepts a client that shows one", async () => {
  stack = await TestBridge.open();
  const peer = await stack.connect();
  peer.socket.write(Buffer.concat([keyPacket(KEY), requestBytes({ kind: "count" })]));
  expect(await peer.received(2)).toMatchObject([
    { kind: "serviceKey", status: Status.Ok },
    { kind: "count", status: Status.Ok },
  ]);
});
