import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Manifest, readBase, render, workloadsOf } from "../support/kubernetes/manifests.ts";
import { mayConnect } from "../support/kubernetes/network-policies.ts";
import { validateManifests } from "../support/kubernetes/validate-manifests.ts";
import { Program } from "../support/processes/program.ts";

/** Names of ConfigMaps without the hash of their content. */
function withoutHashes(manifests: readonly Manifest[]): Manifest[] {
  return JSON.parse(JSON.stringify(manifests).replace(/("artoria-(?:edge|bridge|redis-rest))-[a-z0-9]{10}"/g, '$1"'));
}

function byName(manifests: readonly Manifest[]): Map<string, Manifest> {
  return new Map(manifests.map((manifest) => [`${manifest.kind} ${manifest.metadata.name}`, manifest]));
}

describe("kubectl kustomize", () => {
  test("makes the same of the base as the tests that read its files", async () => {
    const rendered = byName(withoutHashes(await render("base")));
    const read = byName(await readBase());
    expect([...rendered.keys()].toSorted()).toEqual([...read.keys()].toSorted());
    for (const [name, { spec, data }] of read)
      expect(rendered.get(name)).toMatchObject(spec === undefined ? { data } : { spec });
  });

  test.each(["base", "overlays/example", "overlays/cloudflare"])(
    "makes of %s what Kubernetes' schemas allow, without an unknown field",
    async (folder) => {
      expect(await validateManifests(await render(folder))).toEqual([]);
    },
  );

  test.each(["overlays/example", "overlays/cloudflare"])(
    "makes of %s pods with a version of the image, in a namespace that lets no others run",
    async (folder) => {
      const manifests = await render(folder);
      const images = workloadsOf(manifests).flatMap(({ containers }) => containers.map(({ image }) => image));
      expect(new Set(images)).toEqual(
        new Set([expect.stringMatching(/^registry\.example\.com\/artoria:\d+\.\d+\.\d+$/)]),
      );
      const [namespace, ...others] = manifests.filter(({ kind }) => kind === "Namespace");
      expect(others).toEqual([]);
      expect(namespace?.metadata.labels).toMatchObject({ "pod-security.kubernetes.io/enforce": "restricted" });
      const inside = manifests.filter(({ kind }) => kind !== "Namespace").map(({ metadata }) => metadata.namespace);
      expect(new Set(inside)).toEqual(new Set([namespace?.metadata.name]));
    },
  );

  test("lets bridges whose edge is on Cloudflare out to https of the internet, and not to the cluster", async () => {
    const manifests = await render("overlays/cloudflare");
    const policies = manifests.filter(({ kind }) => kind === "NetworkPolicy");
    const home = { "kubernetes.io/metadata.name": "artoria" };
    const [{ labels = {} } = {}] = workloadsOf(manifests);
    const from = { namespace: home, pod: labels };
    const reaches = (address: string, number: number) =>
      mayConnect(policies, home, { from, to: { address }, port: { number } });
    const asked = [reaches("203.0.113.7", 443), reaches("203.0.113.7", 80), reaches("10.96.0.1", 443)];
    expect([...asked, reaches("169.254.169.254", 443)]).toEqual([true, false, false, false]);
  });
});

describe("validateManifests", () => {
  test.each<[string, (text: string) => string]>([
    ["an unknown field", (text) => text.replace('"readOnlyRootFilesystem"', '"readonlyRootFilesystem"')],
    ["an unknown field of a volume", (text) => text.replace('"sizeLimit"', '"size"')],
    ["a wrong type", (text) => text.replace('"containerPort":7000', '"containerPort":"7000"')],
    ["an unknown value", (text) => text.replace('"ScheduleAnyway"', '"ScheduleSometimes"')],
    ["a wrong quantity", (text) => text.replace('"512Mi"', '"512 MiB"')],
    ["a missing field", (text) => text.replace('"maxReplicas":20,', "")],
    ["an unknown kind", (text) => text.replace('"kind":"Deployment"', '"kind":"Deploy"')],
  ])("refuses %s", async (_, change) => {
    const text = JSON.stringify(await readBase());
    expect(change(text)).not.toBe(text);
    expect(await validateManifests(JSON.parse(change(text)))).not.toEqual([]);
  });
});

describe("promtool", () => {
  test("accepts deploy/kubernetes/monitoring/prometheus.yml, but for the discovery that Debian's Prometheus lacks", async () => {
    const text = await readFile("deploy/kubernetes/monitoring/prometheus.yml", "utf8");
    const discovery = /kubernetes_sd_configs: \[\{ role: pod, namespaces: \{ names: \[artoria\] \} \}\]/g;
    expect(text.match(discovery)).toHaveLength(2);
    const folder = await mkdtemp(join(tmpdir(), "artoria-promtool-"));
    try {
      const file = join(folder, "prometheus.yml");
      await writeFile(file, text.replace(discovery, "static_configs: [{ targets: [127.0.0.1:7002] }]"));
      // The file with the token is where Prometheus runs.
      const promtool = new Program("promtool", ["check", "config", "--syntax-only", file]);
      await promtool.prints(/SUCCESS/);
      expect(await promtool.ended()).toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
