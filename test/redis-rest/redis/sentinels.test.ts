import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { POLL_MS, Sentinels, type ServerAddress } from "../../../redis-rest/redis/sentinels.ts";
import { RespServer, respArray, respBulk } from "../../support/redis/resp-server.ts";
import { until } from "../../support/until.ts";

/** What a scripted sentinel replies. */
interface Script {
  port: number | string;
  epoch: number | string;
  others: readonly number[];
}

const scripts: Script[] = [];
let servers: RespServer[] = [];
let sentinels: Sentinels | undefined;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  scripts.length = 0;
  for (let index = 0; index < 3; index++) scripts.push({ port: 1, epoch: 1, others: [] });
  servers = await Promise.all(scripts.map((script) => RespServer.listen(([name, what]) => reply(script, name, what))));
});
afterEach(async () => {
  sentinels?.close();
  vi.useRealTimers();
  await Promise.all(servers.map((server) => server.close()));
});

describe("of the sentinels", () => {
  test("the one report of the newest failover is believed, and not two reports of an older one", async () => {
    say({ port: 1, epoch: 7 }, { port: 2, epoch: 8 }, { port: 1, epoch: 7 });
    ask(3);
    await pollUntil(() => sentinels?.primary?.port === 2);
  });

  test("the majority of the reports of one failover is believed", async () => {
    say({ port: 2, epoch: 7 }, { port: 1, epoch: 7 }, { port: 2, epoch: 7 });
    ask(3);
    await pollUntil(() => sentinels?.primary?.port === 2);
  });

  test("a sentinel that missed the failover is not believed, even if no other one can be reached", async () => {
    say({ port: 2, epoch: 8 }, { port: 2, epoch: 8 }, { port: 1, epoch: 7 });
    const moves = ask(3);
    await pollUntil(() => sentinels?.primary?.port === 2);
    moves.length = 0;
    await Promise.all(servers.splice(0, 2).map((server) => server.close()));
    say({ port: 2, epoch: 8 }, { port: 2, epoch: 8 }, { port: 3, epoch: 7 });
    await askedThrice(scripts[2]);
    expect(moves).toEqual([]);
    expect(sentinels?.primary?.port).toBe(2);
  });

  test("followers are called once for each move", async () => {
    const moves = ask(3);
    await pollUntil(() => moves.length === 1);
    say({ port: 2, epoch: 2 }, { port: 2, epoch: 2 }, { port: 2, epoch: 2 });
    await pollUntil(() => sentinels?.primary?.port === 2);
    expect(moves.map((address) => address?.port)).toEqual([1, 2]);
  });

  test("sentinels that the configuration does not name are asked too", async () => {
    const [, second] = servers;
    if (second === undefined) throw new Error("three were started");
    say({ port: 1, epoch: 1, others: [second.port] }, { port: 5, epoch: 5 });
    ask(1);
    await pollUntil(() => sentinels?.primary?.port === 5);
  });

  test.each([
    { epoch: "nonsense" },
    { epoch: "1e999" },
    { port: "nonsense", epoch: 9 },
    { port: 65_536, epoch: 9 },
    { port: -1, epoch: 9 },
  ])("a report with the epoch $epoch and the port $port is ignored", async (nonsense) => {
    say(nonsense, { port: 2, epoch: 7 }, { port: 2, epoch: 7 });
    const moves = ask(3);
    await askedThrice(scripts[0]);
    await pollUntil(() => sentinels?.primary?.port === 2);
    say({}, { port: 3, epoch: 8 }, { port: 3, epoch: 8 });
    await pollUntil(() => sentinels?.primary?.port === 3);
    expect(moves.map((address) => address?.port)).toEqual([2, 3]);
  });

  test("a sentinel that names very many others causes few connections", async () => {
    // Polls that follow at once would remove the silent strangers, and dial others.
    vi.useRealTimers();
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
    await pollUntil(() => dialled.size >= 31);
    await askedThrice(scripts[0]);
    expect(dialled.size).toBe(31);
  });

  test("sentinels that know no primary of that name are named in the problem, and are asked again until one does", async () => {
    say({ port: 0, epoch: 0 }, { port: 0, epoch: 0 }, { port: 0, epoch: 0 });
    const problems: string[] = [];
    ask(3);
    const located = sentinels?.locate(({ message }) => problems.push(message));
    await pollUntil(() => problems.length > 0);
    expect(problems[0]).toMatch(/^no sentinel names the primary: 127\.0\.0\.1:\d+: it knows no primary "fake"$/);
    say({ port: 4, epoch: 1 }, { port: 4, epoch: 1 }, { port: 4, epoch: 1 });
    expect(await located).toEqual({ host: "127.0.0.1", port: 4 });
  });
});

function say(...what: readonly Partial<Script>[]): void {
  for (const [index, script] of what.entries()) Object.assign(scripts[index] ?? {}, script);
}

/** Asks the first `count` sentinels; the array gets each address to which the primary moves. */
function ask(count: number): (ServerAddress | undefined)[] {
  const addresses = servers.slice(0, count).map(({ port }) => ({ host: "127.0.0.1", port }));
  const asked = new Sentinels({ addresses, masterName: "fake", deadlineMs: 200 });
  const moves: (ServerAddress | undefined)[] = [];
  asked.follow(() => moves.push(asked.primary));
  sentinels = asked;
  return moves;
}

/** As `until`, with a poll of the sentinels before each probe. */
function pollUntil(probe: () => boolean): Promise<true> {
  return until(() => {
    if (vi.isFakeTimers()) vi.advanceTimersByTime(POLL_MS);
    return probe();
  });
}

const questions = new Map<Script, number>();

/** Resolves after so many questions that the reply to the first one has been processed. */
async function askedThrice(script: Script | undefined): Promise<void> {
  if (script === undefined) throw new Error("three were started");
  const before = questions.get(script) ?? 0;
  await pollUntil(() => (questions.get(script) ?? 0) >= before + 3);
}

function reply(script: Script, name: string, what = ""): string {
  if (name !== "SENTINEL") return "+OK\r\n";
  const { port, epoch, others } = script;
  switch (what.toUpperCase()) {
    case "GET-MASTER-ADDR-BY-NAME":
      questions.set(script, (questions.get(script) ?? 0) + 1);
      return port === 0 ? "*-1\r\n" : respArray(["127.0.0.1", String(port)].map(respBulk));
    case "MASTER":
      return port === 0
        ? "-ERR No such master with that name\r\n"
        : respArray(["config-epoch", String(epoch)].map(respBulk));
    default:
      return respArray(others.map((other) => respArray(["ip", "127.0.0.1", "port", String(other)].map(respBulk))));
  }
}
