import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Status } from "../../protocol/status-codes.ts";
import { type Bridge, startBridge } from "../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { ExamplePlayer } from "../support/peers/example-player.ts";
import { ScriptedBridge, statusPacket, watchPacket } from "../support/peers/scripted-bridge.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { COMPILE_TIMEOUT_MS, compileCpp, SANITIZERS } from "../support/processes/cpp-compiler.ts";
import { Program } from "../support/processes/program.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";

const KEY = "service-key-of-32-characters-000";

describe("the example game server", () => {
  let folder: string;
  let stack: RunningStack;
  let bridge: Bridge;
  let network: TcpProxy;
  let server: Program;
  let port: number;
  let players: ExamplePlayer[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "artoria-cpp-example-"));
    await compileCpp("g++", ["client/cpp/example/game-server.cpp"], join(folder, "game-server"), SANITIZERS);
    stack = await startStackOn("embedded");
    const variables = { EDGE_URL: stack.edgeUrl, API_KEY: stack.apiKey, BRIDGE_PORT: "0", METRICS_PORT: "0" };
    bridge = await startBridge(
      parseBridgeConfig({ ...variables, BRIDGE_SERVICE_KEYS: KEY }),
      pino({ level: "silent" }),
    );
  }, COMPILE_TIMEOUT_MS);
  afterAll(async () => {
    await bridge?.close();
    await stack?.close();
    await rm(folder, { recursive: true });
  });

  beforeEach(async () => {
    players = [];
    network = await TcpProxy.open(bridge.gameAddress.port);
    server = new Program(join(folder, "game-server"), [String(network.port), "0"], { ARTORIA_SERVICE_KEY: KEY });
    port = Number((await server.prints(/127\.0\.0\.1 (\d+)/))[1]);
  });
  afterEach(async () => {
    for (const player of players) player.close();
    await server.kill();
    await network.close();
    expect(server.stderr).toBe("");
  });

  async function comesIn(sessid: number, name: string): Promise<ExamplePlayer> {
    const player = new ExamplePlayer(port);
    players.push(player);
    player.say(`${sessid} ${name}`);
    await player.hears(`welcome, ${name}`);
    return player;
  }

  const end = async (sessid: number): Promise<void> => {
    expect((await askAsService(stack, "DELETE", `/v1/sessions/${sessid}`)).status).toBe(204);
  };

  test("kicks a player at once whose session another client has deleted, and nobody else", async () => {
    const kim = await comesIn(11, "kim");
    const lee = await comesIn(12, "lee");
    kim.say("hello");
    await lee.hears("kim: hello");
    await end(11);
    expect(await kim.isKicked()).toContain("your session has ended\n");
    await server.prints(/^kim is kicked: your session has ended$/m);
    const ann = await comesIn(13, "ann");
    lee.say("still here");
    await ann.hears("lee: still here");
  });

  test("refuses a session that belongs to another user, a user that no game server may register, and what is no session", async () => {
    await comesIn(21, "kim");
    for (const [line, why] of [
      ["21 lee", "Conflict"],
      ["22 web:lee", "id: out_of_range"],
      ["0 lee", "sessid: out_of_range"],
      ["99999999999 lee", "sessid: out_of_range"],
      ["nonsense", "sessid: out_of_range"],
      ["", "sessid: out_of_range"],
    ] as const) {
      const player = new ExamplePlayer(port);
      player.say(line);
      expect(await player.isKicked()).toBe(`${why}\n`);
    }
  });

  test("kicks whose session ended while the bridge could not be reached, and goes on with the others", async () => {
    const kim = await comesIn(31, "kim");
    const lee = await comesIn(32, "lee");
    network.refuse();
    await server.prints(/^bridge: /m);
    await end(31);
    lee.say("anybody?");
    await lee.hears("one moment, please");
    network.restore();
    expect(await kim.isKicked()).toContain("your session has ended\n");
    const ann = await comesIn(33, "ann");
    lee.say("back again");
    await ann.hears("lee: back again");
  });

  test("asks again about the sessions whose check the edge has not answered: until then, the bridge does not tell of their ends", async () => {
    const scripted = await ScriptedBridge.open();
    const game = new Program(join(folder, "game-server"), [String(scripted.port), "0"]);
    try {
      const first = await scripted.connection(0);
      await first.request(0);
      first.send(watchPacket(Status.Ok, "p1"));
      const kim = new ExamplePlayer(Number((await game.prints(/127\.0\.0\.1 (\d+)/))[1]));
      players.push(kim);
      kim.say("41 kim");
      await first.request(1);
      first.send(statusPacket(4, Status.Ok));
      await kim.hears("welcome, kim");
      first.socket.destroy();

      const second = await scripted.connection(1);
      expect(await second.request(0)).toMatchObject({ after: "p1" });
      second.send(watchPacket(Status.Ok, "p1"));
      for (const [index, status] of [Status.Unavailable, Status.TooMany, Status.NotFound, Status.NotFound].entries()) {
        expect(await second.request(1 + index)).toMatchObject({ kind: "check", sessid: 41 });
        second.send(statusPacket(2, status));
      }
      expect(await kim.isKicked()).toContain("your session has ended\n");
    } finally {
      await game.kill();
      await scripted.close();
    }
  });
});
