import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { Status } from "../../protocol/status-codes.ts";
import { endPacket, ScriptedBridge, statusPacket, watchPacket } from "../support/peers/scripted-bridge.ts";
import { Program } from "../support/processes/program.ts";
import { runInProcess } from "./run-in-process.ts";

const AT = "2025-11-22T01:32:03.456Z";

let bridge: ScriptedBridge;
let program: Program | undefined;

beforeEach(async () => {
  bridge = await ScriptedBridge.open();
});
afterEach(async () => {
  await program?.kill();
  await bridge.close();
});

function artoria(...args: string[]): Program {
  program = Program.node("client/command/main.ts", args, { BRIDGE_PORT: String(bridge.port) });
  return program;
}

describe("artoria watch", () => {
  it("prints a line for each end, goes on by itself, and says at Ctrl-C from where the next run goes on", async () => {
    const watch = artoria("watch", "--after", "p0");
    const first = await bridge.connection(0);
    expect(await first.request(0)).toEqual({ scope: "all", after: "p0" });
    first.send(watchPacket(Status.Ok, "p0"), endPacket(1, 7, "p1", "kim\u001b[2J"), endPacket(2, -8, "p2"));
    await watch.prints(/expired -8/);
    first.socket.destroy();
    const second = await bridge.connection(1);
    expect(await second.request(0)).toEqual({ scope: "all", after: "p2" });
    second.send(watchPacket(Status.NotFound, "p5"));
    await second.request(1);
    second.send(watchPacket(Status.Ok, "p5"), endPacket(0, 0, "p6"), endPacket(3, 9, "p7", "lee"));
    await watch.prints(/evicted 9/);
    watch.signal("SIGINT");
    expect(await watch.ended()).toBe(0);
    expect(watch.stdout.split("\n")).toEqual([
      `${AT} deleted 7 kim\uFFFD[2J`,
      `${AT} expired -8 -`,
      "reset: ends before this line are lost",
      `${AT} evicted 9 lee`,
      "",
    ]);
    expect(watch.stderr).toMatch(
      /^artoria: watching; .*\nartoria: .*; trying again\nartoria: go on with --after p7\n$/,
    );
  });

  it("prints every event as a line of JSON with --json, and ends when nobody reads them", async () => {
    const watch = artoria("watch", "--json");
    const connection = await bridge.connection(0);
    await connection.request(0);
    connection.send(watchPacket(Status.Ok, "p0"), endPacket(1, 7, "p1", "kim"), endPacket(4, 0, "p2"));
    await watch.prints(/reset/);
    expect(
      watch.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { kind: "checkpoint", position: "p0" },
      { position: "p1", at: Date.parse(AT), kind: "ended", reason: "deleted", sessid: 7, user: "kim" },
      { kind: "reset", position: "p2" },
    ]);
    watch.child.stdout?.destroy();
    if (watch.child.stdout !== null) await once(watch.child.stdout, "close");
    // Written into a pipe without a reader.
    connection.send(endPacket(1, 8, "p3"));
    expect(await watch.ended()).toBe(0);
    expect(watch.stderr).not.toContain("EPIPE");
  });

  it("watches the sessions that it is told, until all have ended", async () => {
    const watch = artoria("watch", "7", "8", "9");
    const connection = await bridge.connection(0);
    expect(await connection.request(0)).toEqual({ scope: "known", after: null });
    connection.send(watchPacket(Status.Ok, "p0"));
    await connection.request(3);
    expect(connection.requests.slice(1)).toEqual([7, 8, 9].map((sessid) => ({ kind: "check", sessid })));
    connection.send(...[Status.Ok, Status.NotFound, Status.Ok].map((status) => statusPacket(2, status)));
    connection.send(
      endPacket(1, 5, "p1"),
      endPacket(1, 9, "p2", "kim"),
      endPacket(1, 9, "p3", "kim"),
      endPacket(2, 7, "p4"),
    );
    expect(await watch.ended()).toBe(0);
    expect(watch.stdout).toBe(`not found 8\n${AT} deleted 9 kim\n${AT} expired 7 -\n`);
  });

  it.each([
    ["a sessid that is none", ["watch", "7", "seven"]],
    ["the sessid 0", ["watch", "0"]],
    ["no position", ["watch", "--after"]],
    ["an unknown option", ["watch", "--forever"]],
  ])("ends with 2 for %s", async (_, args) => {
    const result = await runInProcess(args, { BRIDGE_PORT: String(bridge.port) });
    expect(result).toMatchObject({ exitCode: 2, stdout: "" });
    expect(result.stderr).not.toBe("");
    expect(bridge.connections).toEqual([]);
  });

  it("ends with 2 and one line if nobody listens, or if the bridge refuses", async () => {
    const nobody = await runInProcess(["watch", "--port", String(await freePort())]);
    expect(nobody).toMatchObject({ exitCode: 2, stdout: "" });
    expect(nobody.stderr).toMatch(/^artoria: .*ECONNREFUSED.*\n$/);
    const refused = runInProcess(["watch"], { BRIDGE_PORT: String(bridge.port) });
    const connection = await bridge.connection(0);
    await connection.request(0);
    connection.send(watchPacket(Status.Unavailable));
    expect(await refused).toEqual({ exitCode: 2, stdout: "", stderr: "artoria: the watch is refused: Unavailable\n" });
  });
});
