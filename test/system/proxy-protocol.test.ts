import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { Status } from "../../protocol/status-codes.ts";
import { type Certificate, selfSigned } from "../support/peers/certificates.ts";
import { GamePeer } from "../support/peers/game-peer.ts";
import { PlayerBridge } from "../support/peers/player-bridge.ts";
import { join, PlayerPeer } from "../support/peers/player-peer.ts";
import { ScriptedEdge } from "../support/peers/scripted-edge.ts";
import { TestBridge } from "../support/peers/test-bridge.ts";
import { Program } from "../support/processes/program.ts";
import { until } from "../support/until.ts";

/** The ports of the bridges, and of a proxy in front of them. */
type Ports = Readonly<Record<"game" | "player" | "check", number>>;

const NAMES = ["game", "player", "check"] as const;

function haproxy(option: string): (from: Ports, to: Ports) => string {
  const listen = (name: keyof Ports, from: Ports, to: Ports) => `
listen ${name}
  bind 127.0.0.1:${from[name]}
  # Its health checks only connect: with LOCAL in version 2, with HAProxy's own address in version 1.
  server bridge 127.0.0.1:${to[name]} ${option} check inter 50ms`;
  return (from, to) => `
defaults
  mode tcp
  timeout connect 10s
  timeout check 10s
  timeout client 60s
  timeout server 60s
${NAMES.map((name) => listen(name, from, to)).join("\n")}
`;
}

function nginx(from: Ports, to: Ports): string {
  const server = (name: keyof Ports) =>
    `server { listen 127.0.0.1:${from[name]}; proxy_pass 127.0.0.1:${to[name]}; proxy_protocol on; }`;
  return `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; master_process off; pid pid; error_log stderr crit;
events { worker_connections 256; }
stream { ${NAMES.map(server).join(" ")} }
`;
}

const PROXIES = [
  { name: "HAProxy with version 2", program: "haproxy", config: haproxy("send-proxy-v2"), checks: true },
  {
    name: "HAProxy with version 2, a checksum and more extensions",
    program: "haproxy",
    config: haproxy("send-proxy-v2 proxy-v2-options crc32c,authority,unique-id"),
    checks: true,
  },
  { name: "HAProxy with version 1", program: "haproxy", config: haproxy("send-proxy"), checks: true },
  { name: "nginx", program: "nginx", config: nginx, checks: false },
];

let certificate: Certificate;
beforeAll(async () => {
  certificate = await selfSigned("localhost");
});

describe.each(PROXIES)("bridges behind $name", ({ program: command, config, checks }) => {
  let directory: string;
  let program: Program;
  let ports: Ports;
  let stack: TestBridge;
  let edge: ScriptedEdge;
  let players: PlayerBridge;
  const sockets: TLSSocket[] = [];

  beforeAll(async () => {
    const { cert, key } = certificate;
    const proxied = { BRIDGE_PROXY_PROTOCOL: "1", TRUSTED_PROXIES: "127.0.0.1" };
    const limits = {
      ...{ BRIDGE_MAX_FAILURES_PER_MINUTE: "2", CHECK_MAX_FAILURES_PER_MINUTE: "1", CHECK_FAILURE_DELAY_MS: "1" },
      PLAYER_MAX_CONNECTIONS_PER_ADDRESS: "1",
    };
    stack = await TestBridge.open({
      ...{ ...proxied, ...limits, CHECK_PORT: "0", BRIDGE_ALLOW_ANYONE: "1" },
      ...{ BRIDGE_TLS_CERT: cert, BRIDGE_TLS_KEY: key, CHECK_TLS_CERT: cert, CHECK_TLS_KEY: key },
    });
    edge = await ScriptedEdge.open();
    players = await PlayerBridge.open(edge.url, { ...proxied, ...limits, BRIDGE_PROXY_PROTOCOL: "player" });
    ports = { game: await freePort(), player: await freePort(), check: await freePort() };
    const { gameAddress, checkAddress } = stack.bridge;
    const to = { game: gameAddress.port, player: players.address.port, check: checkAddress?.port ?? 0 };
    directory = await mkdtemp(joinPath(tmpdir(), "artoria-proxy-protocol-"));
    const file = joinPath(directory, "config");
    await writeFile(file, config(ports, to));
    const args = command === "nginx" ? ["-p", directory, "-c", file, "-e", "stderr"] : ["-db", "-f", file];
    program = new Program(command, args);
    for (const name of NAMES) await until(async () => (await dial(ports[name], "127.0.0.9")).encrypted);
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });
  afterAll(async () => {
    program?.signal("SIGTERM");
    await program?.ended();
    await players?.close();
    await edge?.close();
    await stack?.close();
    await rm(directory, { recursive: true });
  });

  /** A TLS connection to the bridge through the proxy, from an address of 127.0.0.0/8. */
  async function dial(port: number, localAddress: string): Promise<TLSSocket> {
    const below = connect({ host: "127.0.0.1", port, localAddress });
    const socket = connectTls({ socket: below, host: "127.0.0.1", rejectUnauthorized: false });
    sockets.push(socket.on("error", () => undefined));
    await once(socket, "secureConnect");
    return socket;
  }

  test("two game servers are limited apart", async () => {
    const { NotFound, TooMany } = Status;
    const statuses = async (from: string, count: number) => {
      const peer = new GamePeer(await dial(ports.game, from));
      for (let asked = 1; asked <= count; asked += 1) {
        peer.send({ kind: "check", sessid: 8 });
        await peer.received(asked);
      }
      return peer.responses.map(({ status }) => status);
    };
    expect(await statuses("127.0.0.2", 3)).toEqual([NotFound, NotFound, TooMany]);
    expect(await statuses("127.0.0.3", 2)).toEqual([NotFound, NotFound]);
  });

  test("two players are limited apart", async () => {
    const address = { ...players.address, port: ports.player } as AddressInfo;
    const connectFrom = async (from: string) => {
      const peer = await PlayerPeer.connect(address, players.certificate.cert, from);
      sockets.push(peer.socket);
      return peer;
    };
    const [first, other] = [await connectFrom("127.0.0.2"), await connectFrom("127.0.0.3")];
    first.send(join(7));
    const room = await edge.socket();
    room.letIn();
    await first.received("joined");
    const second = await connectFrom("127.0.0.2");
    await until(() => second.ended);
    expect([first.ended, other.ended]).toEqual([false, false]);
    await until(async () => (await players.metric('refusals_total{code="connections_per_address"}')) === 1);
  });

  test("two clients of the check port are limited apart", async () => {
    const ask = async (from: string) => {
      const socket = await dial(ports.check, from);
      socket.write(
        `GET /v1/check HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${"A".repeat(27)}\r\n\r\n`,
      );
      expect(await text(socket)).toMatch(/^HTTP\/1\.1 401 /);
      return await stack.metric("artoria_bridge_checks_delayed_total");
    };
    expect([await ask("127.0.0.2"), await ask("127.0.0.3"), await ask("127.0.0.2")]).toEqual([0, 0, 1]);
  });

  test.runIf(checks)("the proxy's health checks are no failures", async () => {
    // The ports of three listeners, of which each is checked every 50 ms. Most are closed again before they are accepted.
    let seen = 0;
    const count = (): void => {
      seen += 1;
    };
    subscribe("net.server.socket", count);
    try {
      await until(() => seen >= 30, 120_000);
    } finally {
      unsubscribe("net.server.socket", count);
    }
    const { body } = await stack.watch("/metrics");
    expect(body).not.toMatch(/refusals_total\{code="(tls_handshake|proxy_header|untrusted_proxy|evicted)"\}/);
    expect(program.output).not.toMatch(/DOWN/);
  });
});
