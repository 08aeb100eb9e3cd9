import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Sentinels, type ServerAddress } from "../../redis-rest/redis/sentinels.ts";
import { RespServer, respArray, respBulk } from "../support/redis/resp-server.ts";
import { until } from "../support/until.ts";

/** A sentinel that says what it is told to. */
interface Spoken {
  port: number | string;
  epoch: number | string;
  others: readonly number[];
}

const said: Spoken[] = [];
let servers: RespServer[] = [];
let sentinels: Sentinels | undefined;

beforeEach(async () => {
  said.length = 0;
  for (let index = 0; index < 3; index++) said.push({ port: 1, epoch: 1, others: [] });
  servers = await Promise.all(said.map((spoken) => RespServer.listen(([name, what]) => reply(spoken, name, what))));
});
afterEach(async () => {
  sentinels?.close();
  await Promise.all(servers.map((server) => server.close()));
});

describe("Sentinels", () => {
  test("believe the one report of the newest failover, not the two of an older one", async () => {
    say({ port: 1, epoch: 7 }, { port: 2, epoch: 8 }, { port: 1, epoch: 7 });
    ask(3);
    await until(() => sentinels?.primary?.port === 2);
  });

  test("believe most of those that report the same failover", async () => {
    say({ port: 2, epoch: 7 }, { port: 1, epoch: 7 }, { port: 2, epoch: 7 });
    ask(3);
    await until(() => sentinels?.primary?.port === 2);
  });

  test("do not go back when a sentinel that missed the failover is all that can be reached", async () => {
    say({ port: 2, epoch: 8 }, { port: 2, epoch: 8 }, { port: 1, epoch: 7 });
    const moves = ask(3);
    await until(() => sentinels?.primary?.port === 2);
    moves.length = 0;
    await Promise.all(servers.splice(0, 2).map((server) => server.close()));
    say({ port: 2, epoch: 8 }, { port: 2, epoch: 8 }, { port: 3, epoch: 7 });
    await askedThrice(said[2]);
    expect(moves).toEqual([]);
    expect(sentinels?.primary?.port).toBe(2);
  });

  test("tell who follows them of each move once", async () => {
    const moves = ask(3);
    await until(() => moves.length === 1);
    say({ port: 2, epoch: 2 }, { port: 2, epoch: 2 }, { port: 2, epoch: 2 });
    await until(() => sentinels?.primary?.port === 2);
    expect(moves.map((address) => address?.port)).toEqual([1, 2]);
  });

  test("learn of the sentinels that the configuration does not name", async () => {
    const [, second] = servers;
    if (second === undefined) throw new Error("three were started");
    say({ port: 1, epoch: 1, others: [second.port] }, { port: 5, epoch: 5 });
    ask(1);
    await until(() => sentinels?.primary?.port === 5);
  });

  test.each([
    { epoch: "nonsense" },
    { epoch: "1e999" },
    { port: "nonsense", epoch: 9 },
    { port: 65_536, epoch: 9 },
    { port: -1, epoch: 9 },
  ])("do not heed one of them that talks nonsense, $epoch and $port", async (nonsense) => {
    say(nonsense, { port: 2, epoch: 7 }, { port: 2, epoch: 7 });
    const moves = ask(3);
    await askedThrice(said[0]);
    await until(() => sentinels?.primary?.port === 2);
    say({}, { port: 3, epoch: 8 }, { port: 3, epoch: 8 });
    await until(() => sentinels?.primary?.port === 3);
    expect(moves.map((address) => address?.port)).toEqual([2, 3]);
  });

  test("that name very many others make few connections", async () => {
    const dialled = new Set<number>();
    const strangers = await Promise.all(
      Array.from({ length: 60 }, (_, at) =>
        RespServer.listen(() => {
          dialled.add(at);
          return "+OK\r\n";
        }),
      ),
    );
    servers.push(...strangers);
    say({ port: 1, epoch: 1, others: strangers.map(({ port }) => port) });
    ask(1);
    await until(() => dialled.size >= 31);
    await askedThrice(said[0]);
    expect(dialled.size).toBe(31);
  });

  test("that know no primary of that name are named in the problem, and are asked until they do", async () => {
    say({ port: 0, epoch: 0 }, { port: 0, epoch: 0 }, { port: 0, epoch: 0 });
    const problems: string[] = [];
    ask(3);
    const located = sentinels?.locate(({ message }) => problems.push(message));
    await until(() => problems.length > 0);
    expect(problems[0]).toMatch(/^no sentinel names the primary: 127\.0\.0\.1:\d+: it knows no primary "fake"$/);
    say({ port: 4, epoch: 1 }, { port: 4, epoch: 1 }, { port: 4, epoch: 1 });
    expect(await located).toEqual({ host: "127.0.0.1", port: 4 });
  });
});

function say(...what: readonly Partial<Spoken>[]): void {
  for (const [index, spoken] of what.entries()) Object.assign(said[index] ?? {}, spoken);
}

/** Asks the first `count` of them; the array gets each address that they move to. */
function ask(count: number): (ServerAddress | undefined)[] {
  const addresses = servers.slice(0, count).map(({ port }) => ({ host: "127.0.0.1", port }));
  const asked = new Sentinels({ addresses, masterName: "fake", deadlineMs: 200 });
  const moves: (ServerAddress | undefined)[] = [];
  asked.follow(() => moves.push(asked.primary));
  sentinels = asked;
  return moves;
}

const questions = new Map<Spoken, number>();

/** Resolves when so many questions have come that the first of them was answered and its answer taken in. */
async function askedThrice(spoken: Spoken | undefined): Promise<void> {
  if (spoken === undefined) throw new Error("three were started");
  const before = questions.get(spoken) ?? 0;
  await until(() => (questions.get(spoken) ?? 0) >= before + 3);
}

function reply(spoken: Spoken, name: string, what = ""): string {
  if (name !== "SENTINEL") return "+OK\r\n";
  const { port, epoch, others } = spoken;
  switch (what.toUpperCase()) {
    case "GET-MASTER-ADDR-BY-NAME":
      questions.set(spoken, (questions.get(spoken) ?? 0) + 1);
      return port === 0 ? "*-1\r\n" : respArray(["127.0.0.1", String(port)].map(respBulk));
    case "MASTER":
      return port === 0
        ? "-ERR No such master with that name\r\n"
        : respArray(["config-epoch", String(epoch)].map(respBulk));
    default:
      return respArray(others.map((other) => respArray(["ip", "127.0.0.1", "port", String(other)].map(respBulk))));
  }
}
