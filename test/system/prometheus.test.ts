import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import program from "../../package.json" with { type: "json" };
import { Status } from "../../protocol/status-codes.ts";
import type { RedisRest } from "../../redis-rest/server.ts";
import { selfSigned } from "../support/peers/certificates.ts";
import { GamePeer } from "../support/peers/game-peer.ts";
import { BridgeProgram } from "../support/processes/bridge-program.ts";
import { Program } from "../support/processes/program.ts";
import { Prometheus } from "../support/processes/prometheus.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const RULES = "artoria.rules.yml";
/** Prometheus scrapes and evaluates so often here. A state takes a few of them. */
const INTERVAL = "500ms";

describe("promtool", () => {
  test.each([
    ["accepts the configuration", ["check", "config", "prometheus.yml"]],
    ["accepts the rules", ["check", "rules", RULES]],
    ["finds each alert fire where it must, and nowhere else", ["test", "rules", "artoria.rules.test.yml"]],
  ])("%s", async (_, [...args]) => {
    const file = args.pop();
    const promtool = new Program("promtool", [...args, `deploy/prometheus/${file}`]);
    await promtool.prints(/SUCCESS/);
    expect([await promtool.ended(), promtool.output]).toEqual([0, expect.not.stringContaining("FAILED")]);
  });
});

describe("Prometheus, at a bridge and a redis-rest that run", () => {
  let redis: RedisServer;
  let rest: RedisRest;
  let edge: Edge;
  let bridge: BridgeProgram;
  let prometheus: Prometheus;
  let peer: GamePeer;

  /** The files of deploy/ with the ports of this test; what takes minutes takes seconds. */
  function changed(text: string, name: string): string {
    if (name === RULES) return text.replace(/\bfor: \d+[mh]/g, "for: 1s").replace(/\[\d+m\]/g, "[5s]");
    return text
      .replaceAll("127.0.0.1:7002", `127.0.0.1:${bridge.metricsPort}`)
      .replaceAll("127.0.0.1:8079", new URL(rest.url).host)
      .replace(/_interval: 15s/g, `_interval: ${INTERVAL}`);
  }

  async function measured(promql: string): Promise<number | undefined> {
    const samples = await prometheus.query(promql);
    expect(samples.length).toBeLessThan(2);
    return samples[0]?.value;
  }

  /** Asks the edge as a service, with `body` as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: what a body holds depends on the path
  async function askEdge(method: string, path: string, body?: unknown): Promise<{ status: number; json(): any }> {
    const headers = { Authorization: "Bearer key", "Content-Type": "application/json" };
    return fetch(edge.url + path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
  }

  /** Checks a session that does not exist, which the edge is asked about each time. */
  async function check(): Promise<void> {
    peer.send({ kind: "check", sessid: 4711 });
    await peer.received(peer.responses.length + 1);
  }

  beforeAll(async () => {
    redis = await startRedisServer();
    rest = await startTestRedisRest({ REDIS_URL: redis.url });
    const store = { SESSION_STORE: "redis", UPSTASH_REDIS_REST_URL: rest.url };
    edge = await startEdge({
      host: "127.0.0.1",
      port: 0,
      variables: { API_KEYS: "key", ...store, UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN },
    });
    const certificate = await selfSigned("localhost");
    bridge = await BridgeProgram.start({ edgeUrl: edge.url, certificate, variables: { CHECK_PORT: "0" } });
    prometheus = await Prometheus.start(["prometheus.yml", RULES], changed);
    const socket = connect(bridge.gamePort, "127.0.0.1");
    await once(socket, "connect");
    peer = new GamePeer(socket);
  });

  afterAll(async () => {
    peer?.close();
    await prometheus?.stop();
    await bridge?.kill();
    await edge?.close();
    await rest?.close();
    await redis?.stop();
  });

  test("finds both up, by the names that the rules know", async () => {
    const targets = await until(async () => {
      const found = await prometheus.targets();
      return found.length === 2 && found.every(({ health }) => health === "up") && found;
    });
    expect(targets.map(({ labels }) => labels["job"]).toSorted()).toEqual(["artoria-bridge", "artoria-redis-rest"]);
  });

  test("loads every rule, and none fails", async () => {
    const groups = await until(async () => {
      const found = await prometheus.ruleGroups();
      return found.every(({ rules }) => rules.every(({ health }) => health !== "unknown")) && found;
    });
    const names = groups.map(({ name }) => name).toSorted();
    expect(names).toEqual(["artoria-bridge", "artoria-processes", "artoria-redis-rest"]);
    const broken = groups.flatMap(({ rules }) => rules.filter(({ health }) => health !== "ok"));
    expect(broken).toEqual([]);
  });

  test("reads what the bridge and redis-rest have done", async () => {
    for (let times = 0; times < 7; times++) await check();
    await until(async () => (await measured('artoria_bridge_packets_total{type="check", status="NotFound"}')) === 7);
    expect(await measured('artoria_bridge_edge_seconds_count{outcome="ok"}')).toBe(7);
    expect(await measured("artoria_bridge_cache_misses_total")).toBe(7);
    expect(await measured(`artoria_bridge_info{version="${program.version}"}`)).toBe(1);
    await until(async () => (await measured("artoria_bridge_lease_held")) === 1);
    expect(await measured("time() - artoria_bridge_lease_granted_timestamp_seconds")).toBeLessThan(60);
    // The bridge may have lowered the limit to its open files.
    const connections =
      'round(artoria_bridge:connections:ratio{port="game"} * artoria_bridge_max_connections{port="game"})';
    await until(async () => (await measured(connections)) === 1);
    expect(await measured("redis_rest_primary_up")).toBe(1);
    // The bridge's checks, and the hub's reads of the log.
    expect(await measured('redis_rest_batches_total{outcome="replies"}')).toBeGreaterThanOrEqual(7);
    expect(await measured('process_resident_memory_bytes{job="artoria-redis-rest"}')).toBeGreaterThan(1e7);
  });

  test("reads what game servers that watch were told", async () => {
    expect(await peer.watch("all")).toMatchObject({ status: Status.Ok });
    const { sessid } = await (await askEdge("POST", "/v1/sessions", { user: "kim" })).json();
    expect((await askEdge("DELETE", `/v1/sessions/${sessid}`)).status).toBe(204);
    await until(async () => (await measured('artoria_bridge_watch_notices_total{kind="ended"}')) === 1);
    expect(await measured("artoria_bridge_watch_events_total")).toBe(1);
    expect(await measured("artoria_bridge_watchers * artoria_bridge_watch_stream_up")).toBe(1);
  });

  test("answers every query of the dashboard", async () => {
    const { panels } = JSON.parse(await readFile("deploy/grafana/artoria.json", "utf8")) as {
      readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
    };
    /** The panels without data. A query that Prometheus refuses throws. */
    const findEmpty = async (): Promise<string[]> => {
      const empty: string[] = [];
      for (const { title, targets } of panels) {
        // As Grafana sends them, with all bridges and redis-rests chosen. A row has none.
        const queries = targets?.map(({ expr }) =>
          expr.replaceAll("$__rate_interval", "1m").replace(/\$(?:bridge|redis_rest)/g, ".*"),
        );
        const results = await Promise.all((queries ?? []).map((promql) => prometheus.query(promql)));
        if (queries !== undefined && results.every(({ length }) => length === 0)) empty.push(title);
      }
      return empty;
    };
    // Nothing was refused or ended, nobody has played or asked the check port, and this redis-rest has no replicas.
    const expected = [
      ...["Refused", "Ended", "Responses", "Refused by the check port"],
      ...["Joins", "Packets relayed", "Bytes relayed", "Closed", "Refused and ended"],
      ...["Replicas' lag", "Replicas' lag in bytes", "Reads of replicas"],
    ];
    // A rate needs two scrapes.
    await until(async () => (await findEmpty()).length <= expected.length);
    expect(await findEmpty()).toEqual(expected);
    const [left] = await prometheus.query("artoria_bridge_certificate_expiry_timestamp_seconds - time()");
    expect(left).toMatchObject({ metric: { port: "player" } });
    expect(left?.value).toBeGreaterThan(0);
  });

  test("says that the edge cannot be reached when it is stopped, of which bridge, and what to do", async () => {
    expect(
      (await prometheus.alerts()).filter(({ labels }) => labels["alertname"] === "ArtoriaEdgeUnreachable"),
    ).toEqual([]);
    await edge.close();
    let isOver = false;
    // Game servers go on asking.
    const asking = (async () => {
      for (; !isOver; await pause(50)) await check();
    })();
    const instance = `127.0.0.1:${bridge.metricsPort}`;
    const firing = await until(async () => {
      const alerts = await prometheus.alerts();
      const critical = alerts.filter(({ state, labels }) => state === "firing" && labels["severity"] === "critical");
      return critical.length === 3 && critical;
    }, 90_000);
    isOver = true;
    await asking;
    expect(firing.map(({ labels }) => labels["alertname"]).toSorted()).toEqual([
      "ArtoriaEdgeUnreachable",
      "ArtoriaUnavailable",
      "ArtoriaWatchStreamDown",
    ]);
    for (const { labels } of firing) expect(labels).toMatchObject({ job: "artoria-bridge", instance });
    const texts = firing.map(({ annotations }) => annotations);
    expect(texts).toContainEqual({
      summary: `No request of ${instance} to the edge succeeds`,
      description: expect.stringContaining("Try the edge from the bridge's machine"),
    });
    expect(texts).toContainEqual({
      summary: expect.stringMatching(new RegExp(`^\\d.*% of the responses of ${instance} are Unavailable$`)),
      description: expect.any(String),
    });
    // The lease is over too, which is for working hours.
    await until(async () =>
      (await prometheus.alerts()).some(
        ({ labels, state }) => labels["alertname"] === "ArtoriaNoLease" && state === "firing",
      ),
    );
  });
});
