import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { IContainer as Container, IPodSpec as PodSpec } from "kubernetes-models/v1";
import { parse, parseAllDocuments, stringify } from "yaml";

/** A Kubernetes object as it stands in a file; {@link validateManifests} compares all of it with Kubernetes' schemas. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: each kind has another
  readonly spec: any;
  /** Of a ConfigMap. */
  readonly data?: Readonly<Record<string, string>>;
}

/** A Deployment or a StatefulSet. */
export interface Workload {
  readonly kind: string;
  readonly name: string;
  /** Of its pods. */
  readonly labels: Readonly<Record<string, string>>;
  readonly pod: PodSpec;
  /** Its sidecars too. */
  readonly containers: readonly Container[];
}

const FOLDER = "deploy/kubernetes";

/**
 * The objects of the base, as kustomize makes them of its files. What kustomize adds to a ConfigMap's name (a hash of its content)
 * is left out.
 */
export async function readBase(): Promise<Manifest[]> {
  return readFolder(join(FOLDER, "base"));
}

async function readFolder(folder: string): Promise<Manifest[]> {
  const { resources, configMapGenerator = [] } = parse(await readFile(join(folder, "kustomization.yaml"), "utf8")) as {
    resources: string[];
    configMapGenerator?: { name: string; literals: string[] }[];
  };
  const read = resources.map(async (resource) => {
    const path = join(folder, resource);
    return resource.endsWith(".yaml") ? parseManifests(await readFile(path, "utf8")) : readFolder(path);
  });
  const configMaps = configMapGenerator.map(({ name, literals }) => {
    const data = Object.fromEntries(literals.map((literal) => splitAtFirst(literal, "=")));
    return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, spec: undefined, data };
  });
  return [...(await Promise.all(read)).flat(), ...configMaps];
}

function splitAtFirst(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + 1)];
}

function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

/** What kubectl's kustomize makes of a folder of deploy/kubernetes. */
export async function render(folder: string): Promise<Manifest[]> {
  const copy = await mkdtemp(join(tmpdir(), "artoria-kubernetes-"));
  try {
    await cp(FOLDER, copy, { recursive: true });
    if (await isOldKustomize()) await useBases(copy);
    const { stdout } = await run("kubectl", ["kustomize", join(copy, folder)]);
    return parseManifests(stdout);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

const run = promisify(execFile);

/** Debian 12's kubectl 1.20 has kustomize 2.0, in which folders are not `resources` but `bases`. */
async function isOldKustomize(): Promise<boolean> {
  const { stdout } = await run("kubectl", ["version", "--client", "--output", "json"]);
  const { clientVersion } = JSON.parse(stdout) as { clientVersion: { minor: string } };
  return Number.parseInt(clientVersion.minor, 10) < 21;
}

async function useBases(folder: string): Promise<void> {
  const names = await readdir(folder, { recursive: true });
  for (const name of names.filter((each) => each.endsWith("kustomization.yaml"))) {
    const path = join(folder, name);
    const kustomization = parse(await readFile(path, "utf8")) as { resources: string[] };
    const isFile = (resource: string) => resource.endsWith(".yaml");
    const bases = kustomization.resources.filter((resource) => !isFile(resource));
    await writeFile(path, stringify({ ...kustomization, bases, resources: kustomization.resources.filter(isFile) }));
  }
}

export function workloadsOf(manifests: readonly Manifest[]): Workload[] {
  return manifests
    .filter(({ kind }) => kind === "Deployment" || kind === "StatefulSet")
    .map(({ kind, metadata, spec }) => {
      const { spec: pod, metadata: podMetadata } = spec.template;
      const containers = [...(pod.initContainers ?? []), ...pod.containers];
      return { kind, name: metadata.name, labels: podMetadata.labels, pod, containers };
    });
}

/** The variables of a container, those of its ConfigMaps included; a secret's value is given by `secret`. */
export function environmentOf(
  { envFrom = [], env = [] }: Container,
  manifests: readonly Manifest[],
  secret: (name: string, key: string) => string,
): Record<string, string> {
  const fromConfigMaps = envFrom.flatMap(({ configMapRef }) => {
    const found = manifests.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === configMapRef?.name);
    if (found?.data === undefined) throw new Error(`no ConfigMap ${configMapRef?.name}`);
    return Object.entries(found.data);
  });
  const own = env.map(({ name, value, valueFrom }): [string, string] => {
    const { name: secretName = "", key = "" } = valueFrom?.secretKeyRef ?? {};
    return [name, value ?? secret(secretName, key)];
  });
  return Object.fromEntries([...fromConfigMaps, ...own]);
}
