import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Connection, type ConnectionContext } from "../../../tcp-bridge/core/connection.ts";
import { DEFAULT_CONNECTION_LIMITS } from "../../../tcp-bridge/core/connection-limits.ts";
import { Listener } from "../../../tcp-bridge/core/listener.ts";
import { until } from "../../support/until.ts";

/** Sends back what it receives, keeps what happened, and throws where it is told to. */
class EchoConnection extends Connection {
  readonly events: string[] = [];

  protected override onConnected(): void {
    this.events.push("connected");
  }

  protected onReceive(chunk: Uint8Array): void {
    const text = Buffer.from(chunk).toString();
    this.events.push(text);
    if (text === "throw") throw new Error("a bug");
    for (const character of text) this.send(Buffer.from(character));
  }

  protected override onSent(): void {
    this.events.push("sent");
  }

  protected override onDisconnected(code: string): void {
    this.events.push(code);
    throw new Error("another bug");
  }

  drain(): void {
    this.end();
  }
}

let connections: EchoConnection[];
let faults: unknown[];
let listener: Listener;
let address: AddressInfo;
let sockets: Socket[];

beforeEach(async () => {
  connections = [];
  faults = [];
  sockets = [];
  const createConnection = (context: ConnectionContext): Connection => {
    const connection = new EchoConnection(context);
    connections.push(connection);
    return connection;
  };
  listener = new Listener({ host: "127.0.0.1", port: 0 }, createConnection, {
    limits: DEFAULT_CONNECTION_LIMITS,
    shortestMs: DEFAULT_CONNECTION_LIMITS.idleMs,
    headerMs: DEFAULT_CONNECTION_LIMITS.packetTimeoutMs,
    refusal: () => new Uint8Array(0),
    onRefused: () => {},
    onClosed: () => {},
    onFault: (error) => faults.push(error),
  });
  address = await listener.open();
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await listener.close();
});

async function dial(): Promise<{ socket: Socket; received: string[] }> {
  const received: string[] = [];
  const socket = connect({ host: address.address, port: address.port });
  socket.on("data", (chunk) => received.push(chunk.toString())).on("error", () => {});
  sockets.push(socket);
  await once(socket, "connect");
  await until(() => connections.length === sockets.length);
  return { socket, received };
}

describe("a connection", () => {
  it("is called when it starts, receives, has sent everything, and ends", async () => {
    const { socket, received } = await dial();
    socket.write("ab");
    await until(() => received.join("") === "ab");
    socket.end();
    await until(() => connections[0]?.events.at(-1) === "finished");
    expect(connections[0]?.events).toEqual(["connected", "ab", "sent", "finished"]);
  });

  it("sends the bytes of one turn of the event loop as one write", async () => {
    const { socket, received } = await dial();
    socket.write("abcdefgh");
    await until(() => received.join("") === "abcdefgh");
    expect(received).toEqual(["abcdefgh"]);
  });

  it("has the address of its peer", async () => {
    await dial();
    expect(connections[0]?.address).toBe("127.0.0.1");
  });

  it("ends when a callback throws, and no other connection does", async () => {
    const [broken, neighbour] = [await dial(), await dial()];
    broken.socket.write("throw");
    await until(() => connections[0]?.events.at(-1) === "fault");
    neighbour.socket.write("x");
    await until(() => neighbour.received.join("") === "x");
    expect(faults.map((fault) => (fault as Error).message)).toEqual(["a bug", "another bug"]);
    await until(() => listener.connections === 1);
  });

  it("is disconnected once, with the first code", async () => {
    const { socket } = await dial();
    const closed = once(socket, "close");
    connections[0]?.disconnect("idle");
    connections[0]?.disconnect("shutdown");
    connections[0]?.send(Buffer.from("too late"));
    await closed;
    await until(() => listener.connections === 0);
    connections[0]?.disconnect("reset");
    expect(connections[0]?.events).toEqual(["connected", "idle"]);
  });
});

describe("a listener that drains", () => {
  it("refuses new connections, ends its connections, and resolves when they have ended", async () => {
    const { socket } = await dial();
    const drained = listener.drain(30_000);
    await drained;
    expect(listener.connections).toBe(0);
    expect(connections[0]?.events.at(-1)).toBe("finished");
    const late = connect({ host: address.address, port: address.port });
    const [error] = await once(late, "error");
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
    socket.destroy();
  });

  it("disconnects the remaining peers at the deadline", async () => {
    await dial();
    const [socket] = sockets;
    socket?.pause();
    await listener.drain(50);
    expect(listener.connections).toBe(0);
  });
});
