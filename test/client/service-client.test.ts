import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Connector } from "../../client/connector.ts";
import { ServiceClient } from "../../client/service-client.ts";
import { freePort } from "../../dev/free-port.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { WatchNotice } from "../../protocol/watch-packets.ts";
import { PacketBytes } from "../support/packets/packet-bytes.ts";
import { endPacket, watchPacket } from "../support/peers/scripted-bridge.ts";
import { until } from "../support/until.ts";

const ok = new PacketBytes().u8(Status.Ok);
const notFound = new PacketBytes().u8(Status.NotFound);

/** The other end, which answers whatever a test says. */
let server: Server;
let peer: Socket | undefined;
let received: Buffer[];
let client: ServiceClient;

beforeEach(async () => {
  received = [];
  server = createServer((socket) => {
    peer = socket.on("data", (chunk) => received.push(chunk)).on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  client = await dial();
});
afterEach(async () => {
  client.close();
  const closed = once(server, "close");
  server.close();
  await closed;
});

async function dial(responseTimeoutMs = 30_000): Promise<ServiceClient> {
  const { port } = server.address() as AddressInfo;
  const connector = new Connector({ host: "127.0.0.1", port });
  const dialled = await connector.connect((socket) => new ServiceClient(socket, { responseTimeoutMs }));
  await until(() => peer !== undefined);
  return dialled;
}

describe("ServiceClient", () => {
  it("sends requests without waiting, in one write, and resolves each with its response", async () => {
    const first = client.request({ kind: "check", sessid: 7 });
    const second = client.request({ kind: "count" });
    await until(() => Buffer.concat(received).byteLength === 12);
    expect(received).toHaveLength(1);
    // The answers come in three pieces that end inside packets.
    const answers = Buffer.concat([notFound.packet(2), new PacketBytes().u8(0).u32(3).u32(2).packet(8)]);
    for (const [from, to] of [
      [0, 3],
      [3, 9],
      [9, answers.byteLength],
    ]) {
      peer?.write(answers.subarray(from, to));
      await new Promise((turn) => setImmediate(turn));
    }
    expect(await first).toEqual({ kind: "check", status: Status.NotFound });
    expect(await second).toEqual({ kind: "count", status: Status.Ok, sessions: 3, users: 2 });
  });

  it("resolves an identify with whose token it is", async () => {
    const identified = client.request({ kind: "identify", token: new Uint8Array(20), resource: "room:lobby" });
    peer?.write(new PacketBytes().u8(Status.Ok).i32(7).string("kim").packet(14));
    expect(await identified).toEqual({ kind: "identify", status: Status.Ok, session: { sessid: 7, user: "kim" } });
  });

  it("rejects a request whose response is ErrorResponse, and continues", async () => {
    const first = client.request({ kind: "check", sessid: 7 });
    const second = client.request({ kind: "check", sessid: 8 });
    peer?.write(Buffer.concat([new PacketBytes().u8(Status.TooMany).string("slow down").packet(127), ok.packet(2)]));
    await expect(first).rejects.toMatchObject({ code: "refused", message: "slow down" });
    expect((await second).status).toBe(Status.Ok);
  });

  it("reports why the peer closed the connection", async () => {
    peer?.end(new PacketBytes().u8(Status.TooMany).string("connections").packet(127));
    await until(async () => {
      const error = await client.request({ kind: "count" }).catch((reason: unknown) => reason);
      return error instanceof Error && error.message === "connections";
    });
  });

  it("rejects all requests when the connection ends, and every later one", async () => {
    const requests = [client.request({ kind: "count" }), client.request({ kind: "check", sessid: 1 })];
    peer?.destroy();
    for (const request of requests) await expect(request).rejects.toMatchObject({ code: "closed" });
    await expect(client.request({ kind: "count" })).rejects.toMatchObject({ code: "closed" });
  });

  it("trusts no responses after one that belongs to another request", async () => {
    const requests = [client.request({ kind: "check", sessid: 1 }), client.request({ kind: "check", sessid: 2 })];
    peer?.write(Buffer.concat([ok.packet(6), ok.packet(2)]));
    for (const request of requests) await expect(request).rejects.toMatchObject({ code: "bad_response" });
  });

  it("gives the notices of a watch to its listener, and matches responses as if none were between them", async () => {
    const notices: WatchNotice[] = [];
    // Nobody has asked yet.
    peer?.write(endPacket(1, 5, "p0"));
    const before = client.request({ kind: "check", sessid: 7 });
    const watching = client.watch({ scope: "known", after: null }, (notice) => {
      notices.push(notice);
      throw new Error("a listener's own fault");
    });
    const after = client.request({ kind: "count" });
    const rethrown = vi.spyOn(globalThis, "queueMicrotask").mockReturnValue();
    peer?.write(
      Buffer.concat([
        ...[ok.packet(2), endPacket(1, 6, "p1"), watchPacket(Status.Ok, "p2"), endPacket(1, 7, "p3", "kim")],
        ...[new PacketBytes().u8(0).u32(3).u32(2).packet(8), endPacket(4, 0, "p4")],
      ]),
    );
    expect((await before).status).toBe(Status.Ok);
    expect(await watching).toEqual({ kind: "watch", status: Status.Ok, position: "p2" });
    expect(await after).toMatchObject({ sessions: 3 });
    await until(() => notices.length === 2);
    expect(rethrown).toHaveBeenCalledTimes(2);
    rethrown.mockRestore();
    expect(notices.map((notice) => notice.position)).toEqual(["p3", "p4"]);
  });

  it("tells why it has ended", async () => {
    peer?.destroy();
    expect(await client.closed).toMatchObject({ code: "closed", message: "the connection was closed" });
  });

  it("fails if the peer does not respond in time", async () => {
    client.close();
    client = await dial(50);
    await expect(client.request({ kind: "count" })).rejects.toMatchObject({ code: "timeout" });
  });

  it.each([
    { kind: "identify" as const, token: new Uint8Array(3) },
    { kind: "check" as const, sessid: 2 ** 32 + 7 },
    { kind: "delete" as const, sessid: 1.5, user: "kim" },
  ])("does not send $kind with a number or a token that its packet would change, and goes on", async (request) => {
    await expect(client.request(request)).rejects.toThrow(TypeError);
    const next = client.request({ kind: "check", sessid: 1 });
    await until(() => received.length > 0);
    expect(Buffer.concat(received).byteLength).toBe(8);
    peer?.write(ok.packet(2));
    expect((await next).status).toBe(Status.Ok);
  });

  it("has no type for what a packet does not carry", async () => {
    // @ts-expect-error: the session could do everything, and not only this.
    const issued = client.request({ kind: "issue", user: "kim", ip: null, grants: ["shop"] });
    // @ts-expect-error: the packet names a user.
    const deleted = client.request({ kind: "delete", sessid: 7 });
    peer?.write(
      Buffer.concat([new PacketBytes().u8(0).i32(7).bytes(new Uint8Array(20).fill(0xab)).packet(10), ok.packet(6)]),
    );
    expect(await issued).toEqual({ kind: "issue", status: Status.Ok, sessid: 7, token: new Uint8Array(20).fill(0xab) });
    expect(await deleted).toEqual({ kind: "delete", status: Status.Ok });
  });

  it("says what another port may be", async () => {
    const unanswered = client.request({ kind: "count" });
    peer?.end();
    await expect(unanswered).rejects.toThrow("before the first response: does the port want TLS?");
    client = await dial();
    const misled = client.request({ kind: "count" });
    peer?.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    await expect(misled).rejects.toMatchObject({ code: "bad_response", message: expect.stringContaining("HTTP") });
  });

  it("says that a handshake is missing", async () => {
    const { port } = server.address() as AddressInfo;
    const connector = new Connector({ host: "127.0.0.1", port, tls: {}, timeoutMs: 50 });
    await expect(ServiceClient.open({ connector })).rejects.toThrow("no TLS handshake within 50 ms");
  });

  it("does not send a request that no packet can hold", async () => {
    const tooLong = client.request({ kind: "checkAccess", sessid: 1, resource: "x".repeat(1100) });
    await expect(tooLong).rejects.toMatchObject({ code: "too_large" });
    const next = client.request({ kind: "check", sessid: 1 });
    await until(() => received.length > 0);
    expect(Buffer.concat(received).byteLength).toBe(8);
    peer?.write(ok.packet(2));
    expect((await next).status).toBe(Status.Ok);
  });
});

describe("Connector", () => {
  it("reports that nobody listens", async () => {
    const connector = new Connector({ host: "127.0.0.1", port: await freePort() });
    await expect(connector.connect((socket) => socket)).rejects.toMatchObject({ code: "connect_failed" });
  });

  it("fails if the TLS handshake does not end in time", async () => {
    const { port } = server.address() as AddressInfo;
    const connector = new Connector({ host: "127.0.0.1", port, tls: {}, timeoutMs: 100 });
    await expect(connector.connect((socket) => socket)).rejects.toMatchObject({ code: "timeout" });
    peer?.destroy();
  });
});
