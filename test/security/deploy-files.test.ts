import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { unstable_readConfig } from "wrangler";
import { parseAllDocuments } from "yaml";
import { developmentCertificate } from "../../dev/development-certificate.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";

/** What these tests read of a Kubernetes object. */
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  // biome-ignore lint/suspicious/noExplicitAny: each kind has another
  readonly spec: any;
}

const manifests = parseAllDocuments(await readFile("deploy/kubernetes.yaml", "utf8")).map(
  (document) => document.toJS() as Manifest,
);
const dockerfile = await readFile("deploy/Dockerfile", "utf8");

function only(kind: string): Manifest {
  const [found, second] = manifests.filter((manifest) => manifest.kind === kind);
  if (found === undefined || second !== undefined) throw new Error(`not one ${kind}`);
  return found;
}

describe("deploy/kubernetes.yaml", () => {
  const pod = only("Deployment").spec.template.spec;
  const [container] = pod.containers;

  it("runs as nobody who could do harm: not root, read-only, without capabilities, a profile or a token to use", () => {
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
    expect(pod.securityContext.runAsUser).toBeGreaterThan(0);
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    for (const name of ["hostNetwork", "hostPID", "hostIPC"]) expect(pod[name]).toBeUndefined();
    for (const volume of pod.volumes) expect(Object.keys(volume)).toEqual(["name", "secret"]);
    for (const mount of container.volumeMounts) expect(mount.readOnly).toBe(true);
  });

  it("says how much it may use, and which version it is", () => {
    expect(container.resources).toMatchObject({
      requests: { cpu: expect.any(String), memory: expect.any(String) },
      limits: { cpu: expect.any(String), memory: expect.any(String) },
    });
    expect(container.image).toMatch(/:\d+\.\d+\.\d+$/);
  });

  it("shows game servers a port inside the cluster, and only players one outside", () => {
    const outside = manifests.filter(({ kind, spec }) => kind === "Service" && spec.type !== "ClusterIP");
    expect(outside.flatMap(({ spec }) => spec.ports.map((port: { port: number }) => port.port))).toEqual([7001]);
    const inside = manifests.filter(({ kind, spec }) => kind === "Service" && spec.type === "ClusterIP");
    expect(inside.flatMap(({ spec }) => spec.ports.map((port: { port: number }) => port.port))).toEqual([7000, 7003]);
  });

  it("lets nobody but players in from anywhere, and out only to DNS and https", () => {
    const { podSelector, policyTypes, ingress, egress } = only("NetworkPolicy").spec;
    expect(podSelector).toEqual(only("Deployment").spec.selector);
    expect(policyTypes.toSorted()).toEqual(["Egress", "Ingress"]);
    const openTo = (rules: { from?: unknown; to?: unknown; ports: { port: number | string }[] }[]) =>
      rules
        .filter(({ from, to }) => from === undefined && to === undefined)
        .flatMap(({ ports }) => ports.map(({ port }) => port));
    expect(openTo(ingress)).toEqual(["players"]);
    expect(openTo(egress)).toEqual([443]);
  });

  it("is what the bridge takes: who asks at the game port proves that he may", async () => {
    const { cert, key } = await developmentCertificate();
    const pem: Record<string, string> = { CERT: cert, KEY: key, CA: cert };
    const environment = Object.fromEntries(
      container.env.map(({ name, value }: { name: string; value?: string }) => {
        // What stands in Secrets, and the files of the volumes, which are not here.
        if (value === undefined) return [name, "0123456789abcdef0123456789abcdef"];
        return [name, value.startsWith("/") ? pem[name.slice(name.lastIndexOf("_") + 1)] : value];
      }),
    );
    expect(environment).not.toHaveProperty("BRIDGE_ALLOW_ANYONE");
    expect(environment).not.toHaveProperty("BRIDGE_ALLOW_PLAINTEXT");
    expect(() => parseBridgeConfig(environment)).not.toThrow();
    const { BRIDGE_TLS_CLIENT_CA: _, ...unproven } = environment;
    expect(() => parseBridgeConfig(unproven)).toThrow("BRIDGE_TLS_CLIENT_CA");
  });
});

describe("deploy/Dockerfile", () => {
  it("names its base by a full version, and runs as a user that is not root, by number", () => {
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
    expect(bases.length).toBeGreaterThan(0);
    for (const base of bases) expect(base).toMatch(/:\d+\.\d+\.\d+-\S+$|@sha256:[0-9a-f]{64}$/);
    const users = [...dockerfile.matchAll(/^USER (\S+)/gm)].map(([, user]) => user);
    expect(users.at(-1)).toMatch(/^[1-9]\d*(:[1-9]\d*)?$/);
    expect(only("Deployment").spec.template.spec.securityContext.runAsUser).toBe(
      Number.parseInt(users.at(-1) ?? "", 10),
    );
  });
});

describe("wrangler.toml", () => {
  it.each([undefined, "production"])("keeps query strings, which name users, out of logs and traces: %s", (env) => {
    const { observability } = unstable_readConfig({ config: "wrangler.toml", env }, { hideWarnings: true });
    expect(observability).toMatchObject({ enabled: true, redact_query_string: true, traces: { enabled: true } });
    expect(observability?.traces?.head_sampling_rate).toBeLessThanOrEqual(0.05);
  });
});

describe("wrangler.toml for production", () => {
  it("has no address under workers.dev, for its versions neither", () => {
    const config = unstable_readConfig({ config: "wrangler.toml", env: "production" }, { hideWarnings: true });
    expect([config.workers_dev, config.preview_urls]).toEqual([false, false]);
  });
});
