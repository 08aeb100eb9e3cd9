import { afterEach, describe, expect, it } from "vitest";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { PacketBytes } from "../../support/packets/packet-bytes.ts";
import { requestBytes } from "../../support/peers/game-peer.ts";
import { gate } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

const check: ServiceRequest = { kind: "check", sessid: 7 };

let stack: TestBridge;
afterEach(() => stack.close());

describe("the game-server port", () => {
  it("refuses a connection beyond its limit with ErrorResponse(TooMany)", async () => {
    stack = await TestBridge.open({ BRIDGE_MAX_CONNECTIONS: "2" });
    const [first, second] = await Promise.all([stack.connect(), stack.connect()]);
    for (const peer of [first, second]) {
      peer.send(check);
      await peer.received(1);
    }
    const third = await stack.connect();
    third.send(check);
    expect(await third.untilEnded()).toEqual([{ kind: "error", status: Status.TooMany, message: "connections" }]);
    expect(await stack.metric('artoria_bridge_refusals_total{code="connections"}')).toBe(1);
    first.close();
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 1);
    const next = await stack.connect();
    next.send(check);
    expect(await next.received(1)).toHaveLength(1);
  });

  it("refuses a connection beyond the limit of one address, and accepts one of another", async () => {
    stack = await TestBridge.open({ BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: "1" });
    const first = await stack.connect();
    first.send(check);
    await first.received(1);
    const second = await stack.connect();
    expect(await second.untilEnded()).toMatchObject([{ message: "connections_per_address" }]);
    const elsewhere = await stack.connect("127.0.0.2");
    elsewhere.send(check);
    expect(await elsewhere.received(1)).toHaveLength(1);
  });

  it("ends a connection whose packet is incomplete for too long, also if single bytes still arrive", async () => {
    stack = await TestBridge.open({ BRIDGE_PACKET_TIMEOUT_MS: "200" });
    const [silent, trickling] = await Promise.all([stack.connect(), stack.connect()]);
    const access = requestBytes({ kind: "checkAccess", sessid: 7, resource: "x".repeat(500) });
    silent.socket.write(access.subarray(0, 1));
    let sent = 0;
    const trickle = setInterval(() => trickling.socket.write(access.subarray(sent, ++sent)), 20);
    const told = await Promise.all([silent.untilEnded(), trickling.untilEnded()]);
    clearInterval(trickle);
    const message = "a packet stayed half-sent for 200 ms";
    expect(told.flat()).toEqual(Array(2).fill({ kind: "error", status: Status.Invalid, message }));
    expect(sent).toBeLessThan(access.byteLength);
    silent.socket.end();
    trickling.socket.end();
    await until(async () => (await stack.metric('artoria_bridge_disconnects_total{code="packet_timeout"}')) === 2);
  });

  it("ends an idle connection", async () => {
    stack = await TestBridge.open({ BRIDGE_IDLE_MS: "100" });
    const peer = await stack.connect();
    await peer.untilEnded();
    expect(await stack.metric('artoria_bridge_disconnects_total{code="idle"}')).toBe(1);
  });

  it("ends a connection that never reads, with bounded memory, and serves others meanwhile", async () => {
    stack = await TestBridge.open({ BRIDGE_WRITE_STALL_TIMEOUT_MS: "500" });
    const [deaf, other] = await Promise.all([stack.connect(), stack.connect()]);
    deaf.socket.pause();
    // Responses have 8 times as many bytes as requests: each is an ErrorResponse of 33 bytes.
    const flood = Buffer.concat(Array.from({ length: 10_000 }, () => new PacketBytes().packet(999)));
    let sentPackets = 0;
    const pump = (): void => {
      while (!deaf.socket.destroyed && deaf.socket.write(flood)) sentPackets += 10_000;
    };
    deaf.socket.on("drain", pump);
    pump();
    const code = 'artoria_bridge_disconnects_total{code="unread_responses"}';
    await until(async () => {
      other.send(check);
      await other.received(other.responses.length + 1);
      return (await stack.metric(code)) === 1;
    });
    const responded = await stack.metric('artoria_bridge_packets_total{type="unknown",status="Invalid"}');
    expect(responded).toBeLessThan(1_000_000);
    expect(sentPackets).toBeLessThan(4_000_000);
  });

  it("does not read from a peer that does not read, and loses no response when it does", async () => {
    stack = await TestBridge.open({ BRIDGE_WRITE_STALL_TIMEOUT_MS: "60000" });
    const peer = await stack.connect();
    peer.socket.pause();
    const packets = 600_000;
    peer.socket.write(Buffer.alloc(4 * packets, new PacketBytes().packet(999)));
    const looks: (number | undefined)[] = [];
    await until(async () => {
      looks.push(await stack.metric('artoria_bridge_packets_total{type="unknown",status="Invalid"}'));
      // If the metric stays the same for 20 looks, 20 ms apart, the bridge has stopped reading.
      return looks.length > 20 && looks.at(-20) === looks.at(-1) && looks.at(-1) !== undefined;
    });
    expect(looks.at(-1)).toBeLessThan(packets);
    peer.socket.resume();
    expect(await peer.received(packets)).toHaveLength(packets);
    expect(peer.ended).toBe(false);
  });

  it("responds TooMany to checks and deletes after too many failures, in order, and serves all other requests", async () => {
    stack = await TestBridge.open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "5" });
    stack.edge.sessions.users.set(1, "kim");
    const peer = await stack.connect();
    const alive: ServiceRequest = { kind: "check", sessid: 1 };
    const count: ServiceRequest = { kind: "count" };
    const foreign: ServiceRequest = { kind: "delete", sessid: 1, user: "lee" };
    const access: ServiceRequest = { kind: "checkAccess", sessid: 1, resource: "vault" };
    peer.send(alive, check, check, foreign, count, access, alive, check, check, count, alive, access, foreign, count);
    const { Ok, NotFound, Denied, TooMany } = Status;
    const responses = await peer.received(14);
    const asked = [Ok, NotFound, NotFound, Denied, Ok, Denied, Ok, NotFound];
    const refused = [TooMany, Ok, TooMany, TooMany, TooMany, Ok];
    expect(responses.map(({ status }) => status)).toEqual([...asked, ...refused]);
    const kinds = ["check", "count", "check", "checkAccess", "delete", "count"];
    expect(responses.slice(8).map(({ kind }) => kind)).toEqual(kinds);
    expect(await stack.metric('artoria_bridge_refusals_total{code="failing_checks"}')).toBe(4);
    const other = await stack.connect("127.0.0.2");
    other.send(alive);
    expect(await other.received(1)).toMatchObject([{ status: Ok }]);
  });

  it("stops reading from a connection with many waiting packets, and resumes", async () => {
    stack = await TestBridge.open({ BRIDGE_MAX_WAITING_PACKETS: "10", BRIDGE_MAX_BATCHES_IN_FLIGHT: "1" });
    const { fault, open } = gate();
    stack.edge.faults.push(fault);
    const [first, flood] = await Promise.all([stack.connect(), stack.connect()]);
    first.send(check);
    await until(() => stack.edge.batches.length === 1);
    flood.send(...Array.from({ length: 50_000 }, () => ({ kind: "count" }) as const));
    const waiting = (): Promise<number | undefined> => stack.metric("artoria_bridge_packets_waiting");
    await until(async () => ((await waiting()) ?? 0) > 0);
    // What the bridge reads at once is 64 KiB at most: 16,384 packets of 4 bytes.
    for (let look = 0; look < 20; look++) expect(await waiting()).toBeLessThanOrEqual(10 + 16_384);
    open();
    expect(await flood.received(50_000)).toHaveLength(50_000);
  });
});
