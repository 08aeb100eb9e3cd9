import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HistoryStage, type HistoryStageOptions, RestartableRedis } from "../support/histories/history-stage.ts";
import { findAnomalies } from "../support/histories/linearizability.ts";
import {
  type RecordedCall,
  type SessionRules,
  sessionHistories,
  sessionModel,
} from "../support/histories/session-history.ts";
import { SessionLoad } from "../support/histories/session-load.ts";
import { until } from "../support/until.ts";

/** REVOCATION_BOUND_MS by default. */
const RULES: SessionRules = { boundMs: 1_000, evicts: false, lifetimeMs: null, repeats: false };
/** How long a part is silent: three bounds. */
const SILENCE_MS = 3_000;
const REDIS_AWAY_MS = 1_000;
const HUB_LOSSES = 4;
const FAILOVER_MS = 60_000;
/** In which a fault must show. */
const MAX_HISTORIES = 5;
/** Only bounds a failure: a small, shared machine is slow. */
const LOAD_MS = 90_000;

/** What a history needs to say something, before a fault and again after it: answers of the store and of memory, and writes. */
const ENOUGH = {
  check: 150,
  checkAccess: 80,
  identify: 40,
  get: 5,
  list: 5,
  register: 30,
  issue: 2,
  delete: 12,
  deleteUser: 1,
};
const ENOUGH_FROM_MEMORY = 100;

type Kind = keyof typeof ENOUGH;

let seed = 1;

/** Lets callers ask until there was enough, makes the fault, and goes on until there was enough once more. */
async function record(stage: HistoryStage, fault: () => Promise<void>): Promise<readonly RecordedCall[]> {
  const run = seed++;
  const load = new SessionLoad(stage.callers(), 1_000 * run, 1_000 * run);
  try {
    await untilEnough(stage, load);
    await fault();
    await untilEnough(stage, load);
  } finally {
    await load.stop();
  }
  return load.calls;
}

async function untilEnough(stage: HistoryStage, load: SessionLoad): Promise<void> {
  const before = countsOf(load);
  const memoryBefore = await fromMemory(stage);
  await until(async () => {
    const counts = countsOf(load);
    const memory = await fromMemory(stage);
    return (
      KINDS.every((kind) => counts[kind] - before[kind] >= ENOUGH[kind]) &&
      memory.every((answers, bridge) => answers - (memoryBefore[bridge] ?? 0) >= ENOUGH_FROM_MEMORY)
    );
  }, LOAD_MS);
}

const KINDS = Object.keys(ENOUGH) as Kind[];

function countsOf(load: SessionLoad): Record<Kind, number> {
  return Object.fromEntries(KINDS.map((kind) => [kind, load.count(kind)])) as Record<Kind, number>;
}

/** Answers that each bridge has given from memory; none while it does not run. */
function fromMemory(stage: HistoryStage): Promise<number[]> {
  return Promise.all(stage.bridges.map((bridge) => bridge.metric("artoria_bridge_cache_hits_total").catch(() => 0)));
}

function anomaliesIn(calls: readonly RecordedCall[], rules: SessionRules = RULES): readonly string[] {
  return findAnomalies({ byKey: sessionHistories(calls, rules) }, sessionModel(rules));
}

/** The first bridge's connection to its hub. */
const TO_HUB = /^GET \S*\/v1\/leases /;

async function holdHub({ proxy }: HistoryStage): Promise<void> {
  proxy.hold(TO_HUB);
  await pause(SILENCE_MS);
  proxy.release();
}

function onStage(options: HistoryStageOptions): () => HistoryStage {
  let stage: HistoryStage | undefined;
  beforeAll(async () => {
    stage = await HistoryStage.open(options);
  });
  afterAll(async () => {
    await stage?.close();
  });
  return () => stage as HistoryStage;
}

describe("a history of sessions has no anomaly", () => {
  const stage = onStage({});

  test("without a fault; and without the time that an end has until it is answered, it would have", async () => {
    const calls = await record(stage(), async () => undefined);
    expect(anomaliesIn(calls)).toEqual([]);
    expect(anomaliesIn(calls, { ...RULES, boundMs: 0 })).not.toEqual([]);
  });

  test.each<[string, () => Promise<void>]>([
    [
      "when a bridge is killed and started again",
      async () => {
        const [bridge] = stage().bridges;
        await bridge.kill();
        bridge.start();
        await until(() => bridge.isReady());
      },
    ],
    [
      "when workerd is killed and started again",
      async () => {
        const [edge] = stage().edges;
        await edge.kill();
        await edge.startAgain();
      },
    ],
    [
      "when the hub loses its memory and its connections",
      async () => {
        const [edge] = stage().edges;
        for (let loss = 0; loss < HUB_LOSSES; loss++) {
          await edge.abortHub();
          await pause(SILENCE_MS / HUB_LOSSES);
        }
      },
    ],
    [
      "when Redis is killed and comes back with its append-only file",
      async () => {
        const { redis } = stage();
        if (!(redis instanceof RestartableRedis)) throw new Error("this stage has one Redis");
        await redis.kill();
        await pause(REDIS_AWAY_MS);
        await redis.startAgain();
      },
    ],
    [
      "when the connection between a bridge and its hub is cut",
      async () => {
        for (let loss = 0; loss < HUB_LOSSES; loss++) {
          stage().proxy.cut(TO_HUB);
          await pause(SILENCE_MS / HUB_LOSSES);
        }
      },
    ],
    ["when the connection between a bridge and its hub is held for three bounds", () => holdHub(stage())],
    [
      "when a bridge is stopped for three bounds and goes on",
      async () => {
        const [bridge] = stage().bridges;
        bridge.signal("SIGSTOP");
        await pause(SILENCE_MS);
        bridge.signal("SIGCONT");
      },
    ],
  ])("%s", async (_, fault) => {
    // A bridge repeats what it got no response to (docs/architecture.md, "What a bridge may say from memory").
    expect(anomaliesIn(await record(stage(), fault), { ...RULES, repeats: true })).toEqual([]);
  });
});

describe("a history of sessions that fail over", () => {
  const stage = onStage({ redis: "sentinels" });

  test("has no anomaly when the primary is killed and a replica with every answered write is promoted", async () => {
    const calls = await record(stage(), async () => {
      const { redis } = stage();
      if (redis instanceof RestartableRedis) throw new Error("this stage has sentinels");
      redis.primary.signal("SIGKILL");
      await until(async () => (await redis.primaryPort()) !== redis.primary.port, FAILOVER_MS);
    });
    expect(anomaliesIn(calls, { ...RULES, repeats: true })).toEqual([]);
  });
});

describe("a history of sessions that are evicted has no anomaly", () => {
  const stage = onStage({ workerVariables: { MAX_SESSIONS_PER_USER: "3", SESSION_LIMIT_POLICY: "evict-oldest" } });
  const rules = { ...RULES, evicts: true };

  test("without a fault; and it would have if nothing was evicted", async () => {
    const calls = await record(stage(), async () => undefined);
    expect(anomaliesIn(calls, rules)).toEqual([]);
    expect(anomaliesIn(calls)).not.toEqual([]);
  });
});

describe("a history of sessions that live for four seconds", () => {
  // A bridge keeps what will live for a while yet: for the idle lifetime of 4 s it would keep nothing.
  const stage = onStage({ workerVariables: { SESSION_TTL_SECONDS: "4", SESSION_MAX_SECONDS: "4" }, ttlSeconds: 600 });

  test("has no anomaly", async () => {
    const calls = await record(stage(), () => pause(SILENCE_MS));
    expect(anomaliesIn(calls, { ...RULES, lifetimeMs: 4_000 })).toEqual([]);
    // Without expiries nothing explains where sessions went.
    expect(anomaliesIn(calls)).not.toEqual([]);
  });
});

describe("a history of sessions shows", () => {
  describe("that a worker does not wait for acknowledgements", () => {
    const stage = onStage({ transformScript: withoutWait });

    test("by an Ok after an answered end or change", async () => {
      expectReadable(await findAnomaly(stage()));
    });
  });

  describe("that a bridge ignores its lease", () => {
    const stage = onStage({ bridgeNodeArgs: ["--import", "./test/support/histories/broken-lease.ts"] });

    test("by an Ok after an end or change that was answered while its hub was out of reach", async () => {
      expectReadable(await findAnomaly(stage()));
    });
  });
});

/** In histories in which a bridge does not hear of changes, as long as its lease runs and longer. */
async function findAnomaly(stage: HistoryStage): Promise<string | undefined> {
  for (let attempt = 0; attempt < MAX_HISTORIES; attempt++) {
    const [anomaly] = anomaliesIn(await record(stage, () => holdHub(stage)));
    if (anomaly !== undefined) return anomaly;
  }
  return undefined;
}

function withoutWait(script: string): string {
  const broken = script.replace(/async wait\((\w+)\) \{/, "$& return;");
  if (broken === script) throw new Error("the worker has no such function any more");
  return broken;
}

/** A few calls, of which a bridge's Ok contradicts the others. */
function expectReadable(anomaly: string | undefined): void {
  expect(anomaly).toMatch(
    /^session -?\d+:\n( {2}[\d.]+\.\.([\d.]+|\?)( \(.*\))? client \d at (bridge|edge) [12]: .* -> .*\n?)+$/,
  );
  expect(anomaly).toMatch(/ at bridge [12]: (check|checkAccess|identify) .* -> Ok/);
  expect(anomaly?.split("\n").length).toBeLessThan(12);
}
