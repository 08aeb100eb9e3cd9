import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { developmentCertificate } from "../../dev/development-certificate.ts";
import { EdgeVariables, parseEdgeConfig } from "../../edge/config.ts";
import { parseRedisRestConfig, RedisRestVariables } from "../../redis-rest/config.ts";
import { BridgeVariables, parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { WorkerVariables } from "../../worker/config.ts";
import { HasherVariables } from "../../worker/password-hasher/password-service.ts";
import { environmentOf, type Manifest, readBase, type Workload, workloadsOf } from "../support/kubernetes/manifests.ts";
import { mayConnect, type Peer, type PodPort } from "../support/kubernetes/network-policies.ts";
import { validateManifests } from "../support/kubernetes/validate-manifests.ts";

const base = await readBase();
const workloads = workloadsOf(base);

function only(kind: string, name: string): Manifest {
  const [found, second] = base.filter((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (found === undefined || second !== undefined) throw new Error(`not one ${kind} ${name}`);
  return found;
}

function workload(name: string): Workload {
  const found = workloads.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no workload ${name}`);
  return found;
}

/** The values of secrets, and PEM text in the place of the files that volumes would bring. */
function environmentFor(
  owner: string,
  container: string,
  pem: Readonly<Record<string, string>>,
): Record<string, string> {
  const found = workload(owner).containers.find(({ name }) => name === container);
  if (found === undefined) throw new Error(`no container ${container}`);
  const environment = environmentOf(found, base, (_, key) =>
    key === "url" ? "redis://artoria-redis:6379" : "0123456789abcdef0123456789abcdef",
  );
  const files = Object.entries(environment).map(([name, value]) => [name, pem[value.split("/").at(-1) ?? ""] ?? value]);
  return Object.fromEntries(files);
}

let pem: Record<string, string>;

beforeAll(async () => {
  const { cert, key } = await developmentCertificate();
  pem = { "tls.crt": cert, "tls.key": key, "ca.crt": cert };
});

describe("the base", () => {
  test("is what Kubernetes' schemas allow, without an unknown field", async () => {
    expect(await validateManifests(base)).toEqual([]);
  });
});

describe("each pod of deploy/kubernetes", () => {
  test.each(workloads)("$name runs as nobody who could do harm", ({ pod, containers }) => {
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
    for (const name of ["hostNetwork", "hostPID", "hostIPC"] as const) expect(pod[name]).toBeUndefined();
    for (const { securityContext } of containers) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
    }
  });

  test("runs as the user of the image", () => {
    const [, user] = /^USER (\d+):\d+$/m.exec(readFileSync("deploy/Dockerfile", "utf8")) ?? [];
    for (const { pod } of workloads) expect(pod.securityContext?.runAsUser).toBe(Number(user));
  });

  test.each(workloads)("$name may write to /tmp and to the volume of the primary, and nowhere else", (each) => {
    const mounts = each.containers.flatMap(({ volumeMounts = [] }) => volumeMounts);
    const writable = mounts.filter(({ readOnly }) => readOnly !== true).map(({ mountPath }) => mountPath);
    const expected = { "artoria-bridge": [], "artoria-edge": ["/tmp"], "artoria-edge-primary": ["/tmp", "/state"] };
    expect(writable).toEqual(expected[each.name as keyof typeof expected]);
  });

  test.each(workloads)("$name says how much it may use, and which version it is", ({ containers }) => {
    for (const { image, resources } of containers) {
      const amounts = { cpu: expect.any(String), memory: expect.any(String) };
      expect(resources).toEqual({ requests: amounts, limits: amounts });
      expect(image).toMatch(/^artoria:\d+\.\d+\.\d+$/);
    }
  });

  test.each(workloads)("$name has time to drain after its preStop", ({ pod, containers }) => {
    // Bridge and edge drain within 10 s; redis-rest answers within its deadline afterwards.
    const drainSeconds = 10 + 5;
    const preStops = containers.map(({ lifecycle }) => lifecycle?.preStop?.sleep?.seconds ?? 0);
    expect(Math.max(...preStops)).toBeGreaterThan(0);
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(Math.max(...preStops) + drainSeconds);
  });

  test.each(workloads)("$name is asked by probes at ports that it has", ({ containers }) => {
    for (const { ports = [], startupProbe, readinessProbe, livenessProbe } of containers) {
      const asked = [startupProbe, readinessProbe, livenessProbe].flatMap((probe) => probe?.httpGet ?? []);
      expect(asked.length).toBeGreaterThan(1);
      for (const { port } of asked) expect(ports.map(({ name }) => name)).toContain(port);
    }
  });
});

describe("the variables of each container", () => {
  const read = {
    "tcp-bridge/main.ts": BridgeVariables.entries,
    "redis-rest/main.ts": RedisRestVariables.entries,
    "edge/main.ts": { ...EdgeVariables.entries, ...WorkerVariables.entries, ...HasherVariables.entries },
  };
  const containers = workloads.flatMap(({ name, containers: all }) =>
    all.map((container) => [name, container.name, container] as const),
  );

  test.each(containers)("%s, %s: the program reads each of them", (_owner, _name, container) => {
    const names = Object.keys(environmentOf(container, base, () => "secret"));
    const known = Object.keys(read[container.args?.[0] as keyof typeof read]);
    // Node's own: the authorities that it trusts besides the public ones.
    expect(names.filter((name) => !known.includes(name) && name !== "NODE_EXTRA_CA_CERTS")).toEqual([]);
  });

  test("the bridge takes them: who asks at the game port proves that he may", () => {
    const environment = environmentFor("artoria-bridge", "bridge", pem);
    const config = parseBridgeConfig(environment);
    expect(config.warnings).toEqual([]);
    expect({
      game: config.game.port,
      players: config.player?.endpoint.port,
      metrics: config.metrics.port,
      checks: config.check?.endpoint.port,
    }).toEqual(portsOf("artoria-bridge", "bridge"));
    const { BRIDGE_TLS_CLIENT_CA: _, ...unproven } = environment;
    expect(() => parseBridgeConfig(unproven)).toThrow("BRIDGE_TLS_CLIENT_CA");
  });

  test.each(["artoria-edge", "artoria-edge-primary"])("redis-rest takes them: %s", (owner) => {
    const config = parseRedisRestConfig(environmentFor(owner, "redis-rest", pem));
    expect({ "redis-rest": config.port }).toEqual(portsOf(owner, "redis-rest"));
    expect(environmentFor(owner, "edge", pem)["UPSTASH_REDIS_REST_URL"]).toBe(`http://127.0.0.1:${config.port}`);
  });

  test("the primary edge takes them, and keeps what it has on its volume", () => {
    const config = parseEdgeConfig(environmentFor("artoria-edge-primary", "edge", pem), {});
    expect({ https: config.port }).toEqual(portsOf("artoria-edge-primary", "edge"));
    expect(config.state).toEqual({ kind: "own", directory: "/state/edge" });
    expect(config.peers).toBeUndefined();
  });

  test("a further edge takes them, and asks the primary by its Service", () => {
    const config = parseEdgeConfig(environmentFor("artoria-edge", "edge", pem), {});
    const { metadata, spec } = only("Service", "artoria-edge-primary");
    expect(config.state).toEqual({ kind: "primary", url: `https://${metadata.name}` });
    expect(spec.ports[0].port).toBe(443);
  });

  test("name, with the ingress, as many secrets as docs/kubernetes.md tells to make, and no value of one", () => {
    const named = new Set<string>();
    for (const { pod, containers: all } of workloads) {
      for (const { valueFrom } of all.flatMap(({ env = [] }) => env)) {
        if (valueFrom !== undefined) named.add(valueFrom.secretKeyRef?.name ?? "");
      }
      for (const { secret } of pod.volumes ?? []) if (secret?.secretName !== undefined) named.add(secret.secretName);
    }
    const ingress = readFileSync("deploy/kubernetes/overlays/example/ingress.yaml", "utf8");
    for (const [, name = ""] of ingress.matchAll(/secretName: (\S+)/g)) named.add(name);
    const page = readFileSync("docs/kubernetes.md", "utf8");
    const told = [...page.matchAll(/^ *\| `(artoria-[\w-]+)` \| `[^|]+` \|/gm)].map(([, name]) => name);
    expect(told.toSorted()).toEqual([...named].toSorted());
    expect(base.filter(({ kind }) => kind === "Secret")).toEqual([]);
  });
});

function portsOf(owner: string, container: string): Record<string, number> {
  const { ports = [] } = workload(owner).containers.find(({ name }) => name === container) ?? {};
  return Object.fromEntries(ports.map(({ name = "", containerPort }) => [name, containerPort]));
}

describe("what selects pods", () => {
  test("finds some: Services, budgets, policies", () => {
    const selectors = base.flatMap(({ kind, metadata, spec }) => {
      if (kind === "Service") return [[metadata.name, spec.selector] as const];
      if (kind === "PodDisruptionBudget") return [[metadata.name, spec.selector.matchLabels] as const];
      return kind === "NetworkPolicy" ? [[metadata.name, spec.podSelector.matchLabels] as const] : [];
    });
    const selected = (labels: Record<string, string>) =>
      workloads.filter((each) => Object.entries(labels).every(([key, value]) => each.labels[key] === value));
    expect(selectors.filter(([, labels]) => selected(labels).length === 0)).toEqual([]);
  });

  test("spreads pods of one kind", () => {
    for (const { pod, labels } of workloads) {
      const spread = pod.topologySpreadConstraints ?? [];
      const keys = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"];
      expect(spread.map(({ topologyKey }) => topologyKey)).toEqual(keys);
      for (const { labelSelector } of spread) expect(labels).toMatchObject(labelSelector?.matchLabels ?? { none: "" });
    }
  });

  test("leads Services to ports that the pods have; only players reach one from outside", () => {
    const services = base.filter(({ kind }) => kind === "Service");
    for (const { spec } of services) {
      const ports = workloads
        .filter(({ labels }) => Object.entries(spec.selector).every(([key, value]) => labels[key] === value))
        .map(({ containers }) => containers.flatMap((each) => each.ports ?? []).map(({ name }) => name));
      for (const { targetPort } of spec.ports) for (const names of ports) expect(names).toContain(targetPort);
    }
    const outside = services.filter(({ spec }) => spec.type !== "ClusterIP");
    expect(outside.map(({ metadata, spec }) => [metadata.name, spec.ports[0].port])).toEqual([
      ["artoria-players", 7001],
    ]);
  });
});

describe("the autoscalers", () => {
  const autoscalers = base.filter(({ kind }) => kind === "HorizontalPodAutoscaler");

  test.each(autoscalers)("$metadata.name alone says how many pods there are", ({ spec }) => {
    const target = only(spec.scaleTargetRef.kind, spec.scaleTargetRef.name);
    expect(target.spec.replicas).toBeUndefined();
    expect(spec.minReplicas).toBeGreaterThan(1);
  });

  test.each(autoscalers)("$metadata.name grows at once and shrinks slowly", ({ spec }) => {
    const { scaleUp, scaleDown } = spec.behavior;
    expect(scaleUp.stabilizationWindowSeconds).toBeLessThanOrEqual(60);
    expect(scaleDown.stabilizationWindowSeconds).toBeGreaterThanOrEqual(10 * scaleUp.stabilizationWindowSeconds);
    expect(scaleDown.policies).toEqual([{ type: "Pods", value: 1, periodSeconds: expect.any(Number) }]);
    const { terminationGracePeriodSeconds: drainSeconds } = workload(spec.scaleTargetRef.name).pod;
    // The connections of one bridge have found another one before the next bridge goes.
    expect(scaleDown.policies[0].periodSeconds).toBeGreaterThanOrEqual(2 * Number(drainSeconds));
  });

  test("a bridge gets as many connections as half of what it takes", () => {
    const { gameLimits, player } = parseBridgeConfig(environmentFor("artoria-bridge", "bridge", pem));
    const targets = only("HorizontalPodAutoscaler", "artoria-bridge").spec.metrics.flatMap(
      // biome-ignore lint/suspicious/noExplicitAny: a metric of any kind
      ({ pods }: any) => (pods === undefined ? [] : [[pods.metric.name, Number(pods.target.averageValue)]]),
    );
    expect(Object.fromEntries(targets)).toEqual({
      artoria_bridge_connections: gameLimits.maxConnections / 2,
      artoria_bridge_player_connections: Number(player?.limits.maxConnections) / 2,
    });
  });
});

describe("the NetworkPolicies", () => {
  const policies = base.filter(({ kind }) => kind === "NetworkPolicy");
  const home = { "kubernetes.io/metadata.name": "artoria" };
  const inNamespace = (name: string, labels: Record<string, string> = {}, pod: Record<string, string> = {}): Peer => ({
    namespace: { "kubernetes.io/metadata.name": name, ...labels },
    pod,
  });
  const ours = (name: string): Peer => ({ namespace: home, pod: workload(name).labels });
  const clients = { "artoria-access": "clients" };

  /** Everybody who might connect, and every port of ours. */
  const peers: Readonly<Record<string, Peer>> = {
    "a player": { address: "203.0.113.7" },
    "a stranger's pod in the namespace": inNamespace("artoria", {}, { app: "other" }),
    "a stranger's pod elsewhere": inNamespace("other", {}, { app: "other" }),
    "a pod that calls itself a game server, elsewhere": inNamespace("other", {}, { "artoria-access": "game-server" }),
    "a pod that calls itself a bridge, elsewhere": inNamespace("other", {}, workload("artoria-bridge").labels),
    "a game server": inNamespace("artoria", {}, { "artoria-access": "game-server" }),
    "a game server in a namespace of clients": inNamespace("games", clients, { "artoria-access": "game-server" }),
    "another pod in a namespace of clients": inNamespace("games", clients, { app: "other" }),
    "a proxy": inNamespace("artoria", {}, { "artoria-access": "proxy" }),
    "a back end": inNamespace("artoria", {}, { "artoria-access": "service" }),
    "the ingress": inNamespace("ingress-nginx", { "artoria-access": "ingress" }, { app: "nginx" }),
    Prometheus: inNamespace("monitoring", { "artoria-access": "metrics" }, { app: "prometheus" }),
    Redis: inNamespace("artoria", {}, { "artoria-access": "redis" }),
    ...Object.fromEntries(workloads.map(({ name }) => [name, ours(name)])),
  };

  test("let exactly the needed traffic in", () => {
    const reached = Object.fromEntries(
      workloads.map(({ name, containers }) => {
        const ports = containers.flatMap((container) => container.ports ?? []);
        const places = ports.map(({ name: port = "", containerPort }) => {
          const to = ours(name);
          const mayReach = ([, from]: [string, Peer]) =>
            from !== to && mayConnect(policies, home, { from, to, port: { number: containerPort, name: port } });
          return [
            port,
            Object.entries(peers)
              .filter(mayReach)
              .map(([peer]) => peer),
          ] as const;
        });
        return [name, Object.fromEntries(places)];
      }),
    );
    const everybody = Object.keys(peers).filter((peer) => !peer.startsWith("artoria-"));
    const callers = ["a back end", "the ingress", "artoria-bridge"];
    expect(reached).toEqual({
      "artoria-bridge": {
        game: ["a game server", "a game server in a namespace of clients"],
        players: everybody,
        metrics: ["Prometheus"],
        checks: ["a proxy"],
      },
      "artoria-edge": { https: callers, "redis-rest": ["Prometheus"] },
      "artoria-edge-primary": { https: [...callers, "artoria-edge"], "redis-rest": ["Prometheus"] },
    });
  });

  test("let pods out to what they need, and nowhere else", () => {
    const dns = inNamespace("kube-system", {}, { "k8s-app": "kube-dns" });
    const destinations: readonly [string, Peer, PodPort, string?][] = [
      ["DNS", dns, { number: 53 }, "UDP"],
      ["DNS", dns, { number: 53 }],
      ["another port of DNS", dns, { number: 9153 }],
      ["the rest of kube-system", inNamespace("kube-system", {}, { component: "kube-apiserver" }), { number: 53 }],
      ["Redis", peers["Redis"] ?? dns, { number: 6379 }],
      ["the internet", { address: "203.0.113.7" }, { number: 443 }],
      ["DNS of the node", { address: "169.254.20.10" }, { number: 53 }, "UDP"],
      ["the cloud's metadata", { address: "169.254.169.254" }, { number: 80 }],
      ["the Kubernetes API", { address: "10.96.0.1" }, { number: 443 }],
    ];
    const reached = workloads.map(({ name }) => [
      name,
      destinations
        .filter(([, to, port, protocol]) =>
          mayConnect(policies, home, { from: ours(name), to, port, ...(protocol && { protocol }) }),
        )
        .map(([destination]) => destination),
    ]);
    expect(Object.fromEntries(reached)).toEqual({
      "artoria-bridge": ["DNS", "DNS", "DNS of the node"],
      "artoria-edge": ["DNS", "DNS", "Redis", "DNS of the node"],
      "artoria-edge-primary": ["DNS", "DNS", "Redis", "DNS of the node"],
    });
  });
});
