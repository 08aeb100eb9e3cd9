import { execFile } from "node:child_process";
import { chmod, cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import program from "../../package.json" with { type: "json" };
import { Status } from "../../protocol/status-codes.ts";
import { readBase, workloadsOf } from "../support/kubernetes/manifests.ts";
import { type Cluster, runContainer } from "../support/kubernetes/run-container.ts";
import { buildNodeImage, Podman } from "../support/processes/podman.ts";
import type { Program } from "../support/processes/program.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const IMAGE = "artoria:test";
const API_KEY = "an-api-key-of-the-container-test-0123456789";

/** The response to a SessionCheckRequest that the store could not be asked in time for. */
const UNAVAILABLE = Buffer.from([5, 0, 2, 0, Status.Unavailable]).toString("hex");

/** What is never part of a clone, and what a developer may have in the folder: none of it may get into the image. */
const NOT_COPIED = /(^|\/)(node_modules|\.git|\.wrangler|dist|coverage|\.cache)(\/|$)/;
const SECRETS = [".env", ".dev.vars", join("worker", ".dev.vars"), join("edge", ".env.production"), "state.sqlite"];

let podman: Podman;
let folder: string;

beforeAll(async () => {
  podman = await Podman.open();
  folder = await mkdtemp(join(tmpdir(), "artoria-container-"));
  await chmod(folder, 0o755);
  const context = join(folder, "context");
  await cp(ROOT, context, { recursive: true, filter: (path) => !NOT_COPIED.test(path.slice(ROOT.length)) });
  for (const name of SECRETS) await writeFile(join(context, name), "API_KEY=secret");
  const dockerfile = await readFile(join(ROOT, "deploy/Dockerfile"), "utf8");
  const [, base = ""] = /^FROM (\S+)/m.exec(dockerfile) ?? [];
  await buildNodeImage(podman, `docker.io/library/${base}`);
  await podman.build(IMAGE, join(context, "deploy/Dockerfile"), context);
}, 600_000);

afterAll(async () => {
  await podman?.close();
  await rm(folder, { recursive: true, force: true });
});

describe("the image", () => {
  /** Runs a script in it as its user, with nothing writable but /tmp. */
  async function evaluated(script: string): Promise<unknown> {
    const options = ["--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop=ALL"];
    const run = podman.run({ image: IMAGE, args: ["--eval", `console.log(JSON.stringify(${script}))`], options });
    expect([await run.ended(), run.stderr]).toEqual([0, ""]);
    return JSON.parse(run.stdout);
  }

  test("has the three programs, what they import, the edge's bundle, and nothing else of the folder", async () => {
    expect(await evaluated(`fs.readdirSync("/artoria").sort()`)).toEqual([
      ".npmrc",
      "config",
      "dist",
      "edge",
      "node_modules",
      "package-lock.json",
      "package.json",
      "protocol",
      "redis-rest",
      "tcp-bridge",
      "worker",
    ]);
    const files = (await evaluated(
      `fs.readdirSync("/artoria", { recursive: true }).filter((path) => !path.startsWith("node_modules"))`,
    )) as string[];
    expect(files.filter((path) => SECRETS.some((secret) => path.endsWith(secret)))).toEqual([]);
    expect(files.filter((path) => path.includes(".test."))).toEqual([]);
  });

  test("has no tool that only developers need, and no cache of npm", async () => {
    const tools = Object.keys(program.devDependencies);
    const there = await evaluated(`${JSON.stringify(tools)}.filter((name) => fs.existsSync("node_modules/" + name))`);
    expect(there).toEqual([]);
    expect(await evaluated(`["/root/.npm/_cacache", "/.npm"].filter((path) => fs.existsSync(path))`)).toEqual([]);
  });

  test("runs as a user that owns none of its files, may change none, and has no capability", async () => {
    const find = `fs.readdirSync("/artoria", { recursive: true, withFileTypes: true })
      .map((entry) => entry.parentPath + "/" + entry.name)`;
    const own = `${find}.filter((path) => { const { uid, mode } = fs.lstatSync(path); return uid !== 0 || (!fs.lstatSync(path).isSymbolicLink() && mode & 0o022); })`;
    expect(await evaluated(own)).toEqual([]);
    expect(await evaluated(`[process.getuid(), process.getgid()]`)).toEqual([1000, 1000]);
    const capabilities = `fs.readFileSync("/proc/self/status", "utf8").match(/Cap(Eff|Prm):\\s*\\w+/g).map((line) => line.split(/\\s+/)[1])`;
    expect(await evaluated(capabilities)).toEqual(["0000000000000000", "0000000000000000"]);
    const write = `["/artoria/x", "/x", "/etc/x", "/tmp/x"].filter((path) => { try { fs.writeFileSync(path, ""); return true; } catch { return false; } })`;
    expect(await evaluated(write)).toEqual(["/tmp/x"]);
  });
});

describe("the pods of deploy/kubernetes", () => {
  let redis: RedisServer;
  let ca: string;
  let gameServer: { cert: string; key: string };
  /** Each expects the certificate of its name. */
  let edges: Agent;
  let bridges: Agent;
  const running = new Map<string, Program>();
  const ports: Record<string, number> = {};

  /** As a probe asks, or a caller inside the cluster. */
  async function ask(
    port: string,
    path: string,
    options: { readonly method?: "GET" | "POST" | "DELETE"; readonly token?: string; readonly body?: object } = {},
  ): Promise<{ status: number; body: string }> {
    const { method = "GET", token, body } = options;
    const scheme = port === "metrics" || port.startsWith("redis") ? "http" : "https";
    const headers = {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { "content-type": "application/json" }),
    };
    const response = await request(`${scheme}://127.0.0.1:${ports[port]}${path}`, {
      dispatcher: port === "checks" ? bridges : edges,
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    });
    return { status: response.statusCode, body: await response.body.text() };
  }

  /** {@link ask}, again and again while the store cannot be asked in time: the machine may be busy. */
  async function answer(...args: Parameters<typeof ask>): ReturnType<typeof ask> {
    return until(async () => {
      const response = await ask(...args);
      return response.status === 503 ? undefined : response;
    });
  }

  async function isReady(port: string, path: string): Promise<void> {
    await until(async () => {
      const ended = [...running].filter(([, { isRunning }]) => !isRunning);
      if (ended.length > 0) throw new Error(ended.map(([name, { output }]) => `${name} ended:\n${output}`).join("\n"));
      return (await ask(port, path).catch(() => undefined))?.status === 200;
    });
  }

  beforeAll(async () => {
    redis = await startRedisServer();
    const certificates = await makeCertificates(folder);
    ({ ca, gameServer } = certificates);
    edges = new Agent({ connect: { ca, servername: "artoria-edge" } });
    bridges = new Agent({ connect: { ca, servername: "artoria-bridge" } });
    const names = ["game", "players", "metrics", "checks", "redis-rest", "redis-rest-2", "primary", "further"];
    for (const name of names) ports[name] = await freePort();
    const manifests = await readBase();
    const workloads = new Map(workloadsOf(manifests).map((each) => [each.name, each]));
    const cluster: Cluster = { podman, manifests, image: IMAGE, folder, secrets: certificates.secrets(redis.url) };
    const start = async (owner: string, container: string, variables: Record<string, string>): Promise<void> => {
      const workload = workloads.get(owner);
      if (workload === undefined) throw new Error(`no workload ${owner}`);
      running.set(`${owner}/${container}`, await runContainer(cluster, workload, container, variables));
    };
    await start("artoria-edge-primary", "redis-rest", { REDIS_REST_PORT: `${ports["redis-rest"]}` });
    await start("artoria-edge", "redis-rest", { REDIS_REST_PORT: `${ports["redis-rest-2"]}` });
    await Promise.all([isReady("redis-rest", "/healthz"), isReady("redis-rest-2", "/healthz")]);
    await start("artoria-edge-primary", "edge", {
      EDGE_PORT: `${ports["primary"]}`,
      UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${ports["redis-rest"]}`,
      TRUSTED_PROXIES: "127.0.0.0/8",
    });
    await isReady("primary", "/healthz");
    await isReady("primary", "/readyz");
    await start("artoria-edge", "edge", {
      EDGE_PORT: `${ports["further"]}`,
      UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${ports["redis-rest-2"]}`,
      EDGE_PRIMARY_URL: `https://artoria-edge-primary:${ports["primary"]}`,
      TRUSTED_PROXIES: "127.0.0.0/8",
    });
    await isReady("further", "/healthz");
    await isReady("further", "/readyz");
    await start("artoria-bridge", "bridge", {
      EDGE_URL: `https://artoria-edge:${ports["further"]}`,
      BRIDGE_PORT: `${ports["game"]}`,
      PLAYER_PORT: `${ports["players"]}`,
      METRICS_PORT: `${ports["metrics"]}`,
      CHECK_PORT: `${ports["checks"]}`,
    });
    await isReady("metrics", "/healthz");
    await isReady("metrics", "/readyz");
  });

  afterAll(async () => {
    await Promise.all([...running.values()].map((each) => each.kill()));
    await Promise.all([edges?.close(), bridges?.close()]);
    await redis?.stop();
  });

  test("serve: a session that the further edge issued is valid at both edges and at the bridge, until it is deleted", async () => {
    const issued = await answer("further", "/v1/sessions", { method: "POST", token: API_KEY, body: { user: "kim" } });
    expect([issued.status, issued.body]).toEqual([201, expect.stringContaining("token")]);
    const { sessid, token } = JSON.parse(issued.body) as { sessid: number; token: string };
    const answers = async () => {
      const asked = ["primary", "further", "checks"].map((port) => answer(port, "/v1/check", { token }));
      return (await Promise.all(asked)).map(({ status }) => status);
    };
    expect(await answers()).toEqual([200, 200, 200]);
    const checked = await until(async () => {
      const response = await checkAsGameServer(sessid);
      return response === UNAVAILABLE ? undefined : response;
    });
    expect(checked).toBe("0500020000");
    const deleted = await answer("further", `/v1/sessions/${sessid}?user=kim`, { method: "DELETE", token: API_KEY });
    // 404 if one that got a 503 had deleted it.
    expect([204, 404]).toContain(deleted.status);
    expect(await answers()).toEqual([401, 401, 401]);
  });

  test("expose the metrics that the autoscaler needs", async () => {
    const { body } = await ask("metrics", "/metrics");
    expect(body).toMatch(/^artoria_bridge_connections \d+$/m);
    expect(body).toMatch(/^artoria_bridge_player_connections \d+$/m);
  });

  test("drain within their time when Kubernetes ends them, the sidecars last", async () => {
    for (const name of [
      "artoria-bridge/bridge",
      "artoria-edge/edge",
      "artoria-edge/redis-rest",
      "artoria-edge-primary/edge",
      "artoria-edge-primary/redis-rest",
    ]) {
      const each = running.get(name);
      const beganMs = performance.now();
      each?.signal("SIGTERM");
      expect([name, await each?.ended(), each?.output]).toEqual([name, 0, expect.any(String)]);
      // terminationGracePeriodSeconds less preStop.
      expect(performance.now() - beganMs).toBeLessThan(25_000);
    }
  });

  /** The bytes of the response to a SessionCheckRequest at the game port, as a game server with its certificate gets them. */
  async function checkAsGameServer(sessid: number): Promise<string> {
    const socket = connect({
      port: ports["game"] ?? 0,
      host: "127.0.0.1",
      ca,
      servername: "artoria-bridge",
      ...gameServer,
    });
    const packet = Buffer.from([8, 0, 1, 0, 0, 0, 0, 0]);
    packet.writeInt32LE(sessid, 4);
    socket.write(packet);
    const received: Buffer[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received.push(chunk);
      if (Buffer.concat(received).length >= 5) break;
    }
    return Buffer.concat(received).toString("hex");
  }
});

/** The certificates that docs/kubernetes.md tells to make, by its commands, and one of a game server. */
async function makeCertificates(folder: string) {
  const page = await readFile(join(ROOT, "docs/kubernetes.md"), "utf8");
  const [, commands = ""] = /```sh\n( *openssl req -x509[\s\S]*?)```/.exec(page) ?? [];
  const script = `set -e\n${commands}\ncertificate game-server DNS:game-server\n`;
  await promisify(execFile)("bash", ["-c", script], { cwd: folder });
  const text = async (name: string) => readFile(join(folder, name), "utf8");
  const ca = await text("ca.crt");
  const pair = async (name: string) => ({ "tls.crt": await text(`${name}.crt`), "tls.key": await text(`${name}.key`) });
  const [edge, bridge] = [await pair("edge"), await pair("bridge")];
  return {
    ca,
    gameServer: { cert: await text("game-server.crt"), key: await text("game-server.key") },
    secrets: (redisUrl: string): Cluster["secrets"] => ({
      "artoria-keys": { "api-key": API_KEY, "api-keys": API_KEY },
      "artoria-redis": { url: redisUrl, "rest-token": "a-token-of-the-container-test-0123456789" },
      "artoria-edge-tls": { ...edge, "ca.crt": ca },
      "artoria-bridge-tls": bridge,
      "artoria-players-tls": bridge,
      "artoria-game-servers": { "ca.crt": ca },
    }),
  };
}
