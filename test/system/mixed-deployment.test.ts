import { X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Connector } from "../../client/connector.ts";
import { tlsTransport } from "../../client/node/tls-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import { ServiceClient } from "../../client/service-client.ts";
import { SessionWatch } from "../../client/session-watch.ts";
import { parseToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import { PACKAGE_VERSION } from "../../protocol/versions.ts";
import { findAnomalies } from "../support/histories/linearizability.ts";
import { BackEnd, GameServer, type SessionCaller } from "../support/histories/session-callers.ts";
import { type SessionRules, sessionHistories, sessionModel } from "../support/histories/session-history.ts";
import { SessionLoad } from "../support/histories/session-load.ts";
import { type Certificate, selfSigned } from "../support/peers/certificates.ts";
import { BridgeProgram } from "../support/processes/bridge-program.ts";
import { ChatProgram } from "../support/processes/chat-program.ts";
import { earlierRelease, hasEarlierRelease, versionOf } from "../support/processes/earlier-release.ts";
import { Program, type ProgramResult, runProgram } from "../support/processes/program.ts";
import { askAsService, logIn } from "../support/processes/running-stack.ts";
import { StackProgram } from "../support/processes/stack-program.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

/** npm may have to install the earlier release. */
const INSTALL_MS = 400_000;
/** Stacks that are replaced under load, on a small, shared machine. */
const SWAPS_MS = 400_000;

/** The folder of this version, from which programs start by default. */
const THIS = "";
let earlier: string;
let certificate: Certificate;

const HAS_EARLIER = hasEarlierRelease("0.1.0");

beforeAll(async () => {
  if (!HAS_EARLIER) return;
  earlier = await earlierRelease("0.1.0");
  certificate = await selfSigned("localhost");
}, INSTALL_MS);

/** A session that a service registers or issues at an edge, and its token. */
async function createSession(
  stack: StackProgram,
  user: string,
  sessid?: number,
): Promise<{ token: string; sessid: number }> {
  // A machine that is busy starting programs may keep the store from responding in time.
  return await until(async () => {
    const response = await askAsService(stack, "POST", "/v1/sessions", { user, sessid });
    return response.ok && ((await response.json()) as { token: string; sessid: number });
  });
}

/** A player in a room, and the texts that it has received. */
class Player {
  readonly texts: string[] = [];
  /** The room has closed it for good. */
  isClosed = false;
  readonly connection: ReliableConnection;

  constructor(port: number, token: string, room: string) {
    const trust = { ca: certificate.cert };
    const bytes = parseToken(token);
    if (bytes === undefined) throw new Error("not a token");
    this.connection = new ReliableConnection({
      transport: tlsTransport({ host: "127.0.0.1", port, token: bytes, trust }),
      room,
    });
    this.connection.on("message", ({ body }) => this.texts.push(Buffer.from(body).toString()));
    this.connection.on("closed", () => {
      this.isClosed = true;
    });
    this.connection.connect();
  }

  say(text: string): void {
    this.connection.send(Buffer.from(text));
  }
}

describe.skipIf(!HAS_EARLIER)("parts of 0.1.0 and of this version on one Redis", () => {
  let redis: RedisServer;
  let before: StackProgram;
  let now: StackProgram;
  /** A bridge of 0.1.0 at an edge of this version, and the reverse. */
  let bridgeBefore: BridgeProgram;
  let bridgeNow: BridgeProgram;
  const stops: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    redis = await startRedisServer();
    stops.unshift(() => redis.stop());
    const started = async <T>(starting: Promise<T>, stop: (part: T) => Promise<unknown>): Promise<T> => {
      const part = await starting;
      stops.unshift(() => stop(part));
      return part;
    };
    const variables = { REDIS_URL: redis.url };
    before = await started(StackProgram.start({ folder: earlier, certificate, variables }), (stack) => stack.stop());
    now = await started(StackProgram.start({ folder: THIS, certificate, variables }), (stack) => stack.stop());
    const bridgeTo = ({ edgeUrl, apiKey }: StackProgram, folder: string) =>
      started(
        BridgeProgram.start({
          edgeUrl,
          certificate,
          folder,
          variables: { API_KEY: apiKey, LOG_LEVEL: "info", BRIDGE_MAX_FAILURES_PER_MINUTE: "1000000000" },
        }),
        (bridge) => bridge.kill(),
      );
    bridgeBefore = await bridgeTo(now, earlier);
    bridgeNow = await bridgeTo(before, THIS);
  }, INSTALL_MS);
  afterAll(async () => {
    for (const stop of stops) await stop();
  });

  test("are what they are said to be, and find nothing to say of each other", async () => {
    expect(await versionOf(earlier)).toBe("0.1.0");
    const readyz = await fetch(`http://127.0.0.1:${bridgeNow.metricsPort}/readyz`);
    expect(await readyz.json()).toMatchObject({ ready: true, version: PACKAGE_VERSION, edge: { version: null } });
    const readyzOfOwn = await fetch(`${now.metricsUrl}/readyz`);
    expect(await readyzOfOwn.json()).toMatchObject({ ready: true, edge: { version: PACKAGE_VERSION } });
    for (const { output } of [bridgeBefore, bridgeNow, before, now]) {
      expect(output).not.toMatch(/"level":[456]0|refused|upgrade the/);
    }
  });

  test.each([
    ["a bridge of 0.1.0 at an edge of this version", 1_000, () => [bridgeBefore, bridgeNow] as const],
    ["a bridge of this version at an edge of 0.1.0", 2_000, () => [bridgeNow, bridgeBefore] as const],
  ])(
    "%s answers from memory, forgets at once what is deleted at the other, and tells it",
    async (_, sessid, bridges) => {
      const [bridge, other] = bridges();
      const connectors = [bridge, other].map(({ gamePort: port }) => new Connector({ host: "127.0.0.1", port }));
      const [client, otherClient] = await Promise.all(
        connectors.map((connector) => connector.connect((socket) => new ServiceClient(socket))),
      );
      const [connector] = connectors;
      if (client === undefined || otherClient === undefined || connector === undefined)
        throw new Error("not connected");
      const watch = await SessionWatch.open({ connector, scope: "all" });
      for (let round = sessid; round < sessid + 5; round++) {
        expect((await client.request({ kind: "register", sessid: round, user: "kim", ip: null })).status).toBe(
          Status.Ok,
        );
        const hits = await bridge.metric("artoria_bridge_cache_hits_total");
        await until(async () => {
          expect((await client.request({ kind: "check", sessid: round })).status).toBe(Status.Ok);
          return (await bridge.metric("artoria_bridge_cache_hits_total")) > hits;
        });
        expect((await otherClient.request({ kind: "delete", sessid: round, user: "kim" })).status).toBe(Status.Ok);
        expect((await client.request({ kind: "check", sessid: round })).status).toBe(Status.NotFound);
      }
      const ended: number[] = [];
      for await (const event of watch) {
        if (event.kind === "ended") ended.push(event.sessid);
        if (ended.length === 5) break;
      }
      expect(ended).toEqual([0, 1, 2, 3, 4].map((index) => sessid + index));
      for (const part of [client, otherClient]) part.close();
      watch.close();
    },
  );

  test.each([
    ["an edge of this version", "lobby-now", () => [now, bridgeBefore] as const],
    ["an edge of 0.1.0", "lobby-before", () => [before, bridgeNow] as const],
  ])("players at bridges of both versions are in one room of %s", async (_, room, parts) => {
    const [stack, bridge] = parts();
    const [kim, lee] = [await createSession(stack, "kim"), await createSession(stack, "lee")];
    const players = [
      new Player(stack.playerPort, kim.token, room),
      new Player(bridge.playerPort, lee.token, room),
    ] as const;
    await until(() => players.every(({ connection }) => connection.state === "Established"));
    const texts = Array.from({ length: 20 }, (_, index) => `text ${index}`);
    for (const [index, text] of texts.entries()) players[index % 2]?.say(text);
    await until(() => players.every((player) => player.texts.length === texts.length));
    expect(players[0].texts).toEqual(players[1].texts);
    expect(players[0].texts.toSorted()).toEqual(texts.toSorted());
    // A player whose session ends is closed, at whichever bridge.
    expect((await askAsService(stack, "DELETE", `/v1/sessions/${lee.sessid}`)).status).toBe(204);
    await until(() => players[1].isClosed);
    players[0].connection.disconnect();
  });

  test.each([
    ["0.1.0 with a bridge and an edge of this version", 3_000, () => [earlier, now] as const],
    ["this version with a bridge and an edge of 0.1.0", 3_100, () => [THIS, before] as const],
  ])(
    "the command line of %s registers, checks, identifies, counts, is told of ends, and chats",
    async (_, sessid, parts) => {
      const [folder, stack] = parts();
      const variables = { BRIDGE_PORT: String(stack.gamePort) };
      const main = join(folder, "client/command/main.ts");
      const artoria = (...args: string[]): Promise<ProgramResult> => runProgram(main, args, variables);
      const id = String(sessid);
      const watching = Program.node(main, ["watch", "--json"], variables);
      await watching.prints(/watching/);
      const { token } = await createSession(stack, "ada");
      expect(await artoria("register", id, "--user", "ada")).toMatchObject({ exitCode: 0, stderr: "" });
      expect(await artoria("check", id)).toMatchObject({ exitCode: 0, stdout: "Ok\n" });
      expect(await artoria("identify", token)).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining("user ada"),
      });
      expect((await artoria("count")).stdout).toMatch(/^Ok\nsessions \d+\nusers \d+\n$/);
      const fingerprint = new X509Certificate(certificate.cert).fingerprint256.replaceAll(":", "");
      const options = ["--room", `chat-${id}`, "--player-port", String(stack.playerPort), "--fingerprint", fingerprint];
      const chat = async (user: string) => {
        const program = new ChatProgram([...options, "--user", user, "--timeout", "60000"], variables, folder);
        await program.shows(/^-- Established$/);
        return program;
      };
      const [kim, lee] = [await chat("kim"), await chat("lee")];
      kim.write("good evening");
      await lee.shows(/kim: good evening$/);
      expect(await artoria("delete", id, "--user", "ada")).toMatchObject({ exitCode: 0 });
      await watching.prints(new RegExp(`"sessid":${id}\\b`));
      for (const program of [watching, kim, lee]) await program.kill();
    },
  );

  test(
    "give no wrong verdict while edges and bridges are upgraded, and while they are rolled back",
    async () => {
      const callers: SessionCaller[] = [
        ...[before, now].flatMap(({ gamePort: port, edgeUrl: url, apiKey }, index) => [
          ...places(index === 0).map((onlyReads, at) => new GameServer(`${at} at stack ${index}`, { port, onlyReads })),
          new BackEnd(`reader at stack ${index}`, { url, apiKey, onlyReads: true }),
          new BackEnd(`writer at stack ${index}`, { url, apiKey, onlyReads: false }),
        ]),
        ...[bridgeBefore, bridgeNow].flatMap(({ gamePort: port }, index) =>
          places(true).map((onlyReads, at) => new GameServer(`${at} at bridge ${index}`, { port, onlyReads })),
        ),
      ];
      const load = new SessionLoad(callers, 1, 10_000);
      try {
        await untilEnough(load);
        // Up: the edge first, then the bridge.
        await before.replaceBy(THIS);
        await untilEnough(load);
        await bridgeBefore.replaceBy(THIS);
        await untilEnough(load);
        // Back: the bridge first, then the edge.
        await bridgeBefore.replaceBy(earlier);
        await untilEnough(load);
        await before.replaceBy(earlier);
        await untilEnough(load);
      } finally {
        await load.stop();
      }
      const anomalies = findAnomalies({ byKey: sessionHistories(load.calls, RULES) }, sessionModel(RULES));
      expect(anomalies).toEqual([]);
      for (const bridge of [bridgeBefore, bridgeNow]) {
        expect(await bridge.metric("artoria_bridge_cache_hits_total")).toBeGreaterThan(0);
      }
    },
    SWAPS_MS,
  );
});

/** Connections between bridges and edges break when one of them is replaced. */
const RULES: SessionRules = { boundMs: 1_000, evicts: false, lifetimeMs: null, repeats: true };

/** What callers of a bridge may do. More of them would only share the machine. */
function places(writes: boolean): readonly boolean[] {
  return writes ? [true, true, false] : [true, false];
}

/** So many more answers of both kinds, at least, between two replacements. */
const ENOUGH = { check: 150, register: 25, delete: 8 } as const;

async function untilEnough(load: SessionLoad): Promise<void> {
  const kinds = Object.keys(ENOUGH) as (keyof typeof ENOUGH)[];
  const began = kinds.map((kind) => load.count(kind));
  await until(() => kinds.every((kind, index) => load.count(kind) - (began[index] ?? 0) >= ENOUGH[kind]), 90_000);
}

describe.skipIf(!HAS_EARLIER)("STATE_DIR of npm start", () => {
  const PASSWORD = "correct horse battery";
  let stateDir: string;
  let stack: StackProgram;

  beforeAll(async () => {
    stateDir = join(await mkdtemp(join(tmpdir(), "artoria-upgrade-")), "state");
    stack = await StackProgram.start({ folder: earlier, certificate, variables: { STATE_DIR: stateDir } });
  }, INSTALL_MS);
  afterAll(async () => {
    await stack?.stop();
    await rm(join(stateDir, ".."), { recursive: true, force: true });
  });

  const checkOf = async (sessids: readonly number[]): Promise<string[]> => {
    const response = await askAsService(stack, "POST", "/v1/sessions/check", { sessids });
    return ((await response.json()) as { statuses: string[] }).statuses;
  };
  const signUp = async (user: string): Promise<number> => {
    const headers = { Origin: stack.edgeUrl };
    const body = new URLSearchParams({ user, password: PASSWORD });
    return (await fetch(`${stack.edgeUrl}/signup`, { method: "POST", headers, body, redirect: "manual" })).status;
  };
  const offsetOf = async (room: string): Promise<{ epoch: number; offset: number }> =>
    (await (await askAsService(stack, "GET", `/v1/rooms/${room}`)).json()) as { epoch: number; offset: number };
  /** The texts that a player of the room reads, who was in it before. */
  const say = async (token: string, text: string): Promise<void> => {
    const player = new Player(stack.playerPort, token, "lobby");
    await until(() => player.connection.state === "Established");
    player.say(text);
    await until(() => player.texts.includes(text));
    player.connection.disconnect();
  };

  test("of 0.1.0 is read by this version, and that of this version by 0.1.0: sessions, accounts and rooms go on", async () => {
    const kim = await createSession(stack, "kim");
    await createSession(stack, "kim", 71);
    expect(await signUp("ada")).toBe(303);
    await say(kim.token, "said before");
    const room = await offsetOf("lobby");
    expect(room.offset).toBeGreaterThan(0);
    expect((await askAsService(stack, "DELETE", "/v1/sessions/71")).status).toBe(204);

    await stack.replaceBy(THIS);
    expect(await checkOf([kim.sessid, 71])).toEqual(["ok", "not_found"]);
    expect((await logIn(stack.edgeUrl, "ada", PASSWORD)).status).toBe(303);
    expect((await logIn(stack.edgeUrl, "ada", "not the password")).status).not.toBe(303);
    await say(kim.token, "said after the upgrade");
    const upgraded = await offsetOf("lobby");
    expect(upgraded.epoch).toBe(room.epoch);
    expect(upgraded.offset).toBeGreaterThan(room.offset);
    await createSession(stack, "lee", 72);
    expect(await signUp("bea")).toBe(303);

    await stack.replaceBy(earlier);
    expect(await checkOf([kim.sessid, 71, 72])).toEqual(["ok", "not_found", "ok"]);
    expect((await logIn(stack.edgeUrl, "ada", PASSWORD)).status).toBe(303);
    expect((await logIn(stack.edgeUrl, "bea", PASSWORD)).status).toBe(303);
    await say(kim.token, "said after the rollback");
    const rolledBack = await offsetOf("lobby");
    expect(rolledBack.epoch).toBe(room.epoch);
    expect(rolledBack.offset).toBeGreaterThan(upgraded.offset);
  });
});
