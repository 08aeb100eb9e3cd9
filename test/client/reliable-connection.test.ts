import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tlsTransport } from "../../client/node/tls-transport.ts";
import { webSocketTransport } from "../../client/node/web-socket-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import type { Transport } from "../../client/reliable/transport.ts";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import type { ClientLimits } from "../../protocol/reliable/client/client-config.ts";
import { makeToken } from "../../protocol/session-token.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { RoomServer } from "../support/rooms/room-server.ts";
import { until } from "../support/until.ts";

/** A retention that no machine is too slow for; signs of trouble are still seen soon. */
const RETENTION_SECONDS = 300;
const LIMITS: Partial<ClientLimits> = { probeMs: 200, backOffCapMs: 200 };

let server: RoomServer;
let connections: ReliableConnection[];

beforeEach(async () => {
  server = await RoomServer.open({ retentionSeconds: RETENTION_SECONDS });
  connections = [];
});
afterEach(async () => {
  for (const connection of connections) connection.disconnect();
  await Promise.all(connections.map(({ closed }) => closed));
  await server.close();
});

interface Kind {
  readonly name: string;
  readonly port: () => number;
  /** The states in which its keys are seen to be exchanged. */
  readonly handshake: readonly string[];
  readonly transport: (port: number, sessid: number) => Transport;
}

const KINDS: readonly Kind[] = [
  {
    name: "TLS",
    port: () => server.tlsPort,
    handshake: ["Handshaking"],
    transport: (port, sessid) =>
      tlsTransport({ host: "127.0.0.1", port, token: token(sessid), trust: { ca: server.certificate.cert } }),
  },
  {
    name: "WebSocket",
    port: () => server.httpPort,
    handshake: [],
    transport: (port, sessid) => webSocketTransport({ edgeUrl: `http://127.0.0.1:${port}`, token: token(sessid) }),
  },
];

function token(sessid: number): Uint8Array {
  return makeToken(sessid, new Uint8Array(16).fill(sessid));
}

/** Connects; what is said arrives in `heard`. */
function join(transport: Transport, heard: string[] = []): ReliableConnection {
  const connection = new ReliableConnection({ transport, room: "lobby", limits: LIMITS });
  connections.push(connection);
  connection.on("message", ({ body }) => heard.push(text(body)));
  connection.connect();
  return connection;
}

function text(body: Uint8Array): string {
  return Buffer.from(body).toString();
}

describe.each(KINDS)("a reliable connection over $name", ({ port, transport, handshake }) => {
  it("sends, receives all messages in order, and leaves at once", async () => {
    const heard: string[] = [];
    const kim = join(transport(port(), 1), heard);
    const lee = join(transport(port(), 2));
    await until(() => kim.state === "Established" && lee.state === "Established");
    for (let at = 0; at < 300; at++) expect(kim.send(Buffer.from(`kim ${at}`)).kind).toBe("queued");
    await until(() => heard.length === 300);
    expect(heard).toEqual(Array.from({ length: 300 }, (_, at) => `kim ${at}`));

    const datagrams: string[] = [];
    lee.on("datagram", ({ member, body }) => datagrams.push(`${member} ${text(body)}`));
    await until(() => kim.datagram(Buffer.from("here")) && datagrams.length > 0);
    expect(datagrams[0]).toBe(`${kim.member} here`);

    kim.disconnect();
    expect(await kim.closed).toMatchObject({ code: ClosedCode.Left, unacked: [] });
    expect(kim.state).toBe("None");
    expect(server.room.users).toHaveLength(1);
    expect(kim.send(Buffer.from("too late"))).toEqual({ kind: "closed" });
  });

  it("delivers every message once and in order while its sockets are cut", async () => {
    const proxy = await TcpProxy.open(port());
    const heard: string[] = [];
    const echoed: string[] = [];
    const kim = join(transport(proxy.port, 1), echoed);
    join(transport(port(), 2), heard);
    const handovers: { gapMs: number; replayed: number }[] = [];
    const failures: unknown[] = [];
    kim.on("handoverEnd", (handover) => handovers.push(handover));
    kim.on("handoverFailed", (failure) => failures.push(failure));
    await until(() => kim.state === "Established");
    const expected: string[] = [];
    for (let round = 0; round < 8; round++) {
      for (let at = 0; at < 40; at++) {
        expected.push(`${round}.${at}`);
        expect(kim.send(Buffer.from(`${round}.${at}`)).kind).toBe("queued");
      }
      // In flight: the sockets are gone before or after the room has read, and before its ack is read.
      await until(() => round % 2 === 0 || heard.length > round * 40);
      proxy.cut();
    }
    await until(() => heard.length >= expected.length && echoed.length >= expected.length);
    await until(() => kim.state === "Established" && kim.unackedMessages === 0);
    expect(heard).toEqual(expected);
    expect(echoed).toEqual(expected);
    expect(failures).toEqual([]);
    expect(handovers.length).toBeGreaterThan(0);
    expect(handovers.every(({ gapMs }) => gapMs > 0)).toBe(true);
    expect(handovers.reduce((sum, { replayed }) => sum + replayed, 0)).toBeGreaterThan(0);
    kim.disconnect();
    await kim.closed;
    await proxy.close();
  });

  it("moves to a new connection when the old one falls silent without an end", async () => {
    const proxy = await TcpProxy.open(port());
    const heard: string[] = [];
    const kim = join(transport(proxy.port, 1), heard);
    const kinds: string[] = [];
    kim.on("handoverBegin", () => kinds.push("begin"));
    kim.on("handoverEnd", () => kinds.push("end"));
    await until(() => kim.state === "Established");
    proxy.freeze();
    kim.send(Buffer.from("sent into the silence"));
    kim.networkChanged();
    await until(() => heard.length > 0 && kinds.includes("end"));
    expect(heard).toEqual(["sent into the silence"]);
    // A machine that is slow may see more trouble than there was.
    expect([kinds[0], kinds.at(-1)]).toEqual(["begin", "end"]);
    expect(proxy.dials).toBeGreaterThanOrEqual(2);
    expect(kim.state).toBe("Established");
    kim.disconnect();
    await kim.closed;
    await proxy.close();
  });

  it("reports each state while it joins, and why a connection was lost", async () => {
    const proxy = await TcpProxy.open(port());
    const kim = new ReliableConnection({ transport: transport(proxy.port, 1), room: "lobby", limits: LIMITS });
    connections.push(kim);
    const states: string[] = [];
    kim.on("state", ({ state }) => states.push(state));
    expect([kim.state, kim.member, kim.datagram(new Uint8Array(1))]).toEqual(["None", 0, false]);
    kim.connect();
    await until(() => kim.state === "Established");
    expect(states).toEqual(["Connecting", ...handshake, "Connected", "Restore", "Standby", "Established"]);
    const reasons: string[] = [];
    kim.on("connectionLost", ({ reason }) => reasons.push(reason));
    proxy.cut();
    await until(() => reasons.length > 0 && kim.state === "Established");
    expect(reasons[0]).not.toBe("");
    kim.disconnect();
    await kim.closed;
    await proxy.close();
  });

  it("drops datagrams that pile up, and refuses messages that are too large or beyond the window", async () => {
    const kim = join(transport(port(), 1));
    await until(() => kim.state === "Established");
    const taken = Array.from({ length: 100 }, () => kim.datagram(new Uint8Array(1024)));
    // 64 KiB, less what still waits of before.
    expect(taken.slice(0, 60)).not.toContain(false);
    expect(taken.slice(64)).not.toContain(true);
    expect(kim.send(new Uint8Array(20_000)).kind).toBe("tooLarge");
    const results = Array.from({ length: 2000 }, () => kim.send(new Uint8Array(1)).kind);
    expect(results.indexOf("full")).toBe(1024);
    let writable = false;
    kim.on("writable", () => {
      writable = true;
    });
    await until(() => writable && kim.send(new Uint8Array(1)).kind === "queued");
  });

  it("ends when the room removes it, and reports why", async () => {
    const kim = join(transport(port(), 1));
    await until(() => kim.state === "Established");
    server.room.removeMember(server.room.users[0] ?? "", ClosedCode.SessionInvalid);
    expect(await kim.closed).toMatchObject({ code: ClosedCode.SessionInvalid, unacked: [] });
    await until(() => server.room.connections === 0);
  });
});
