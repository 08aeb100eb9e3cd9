import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Podman } from "../processes/podman.ts";
import type { Program } from "../processes/program.ts";
import { environmentOf, type Manifest, type Workload } from "./manifests.ts";

/** The cluster that a container is run for: what Kubernetes would know and have. */
export interface Cluster {
  readonly podman: Podman;
  readonly manifests: readonly Manifest[];
  readonly image: string;
  /** Secrets by their names: each key with its value. */
  readonly secrets: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Where volumes are made. */
  readonly folder: string;
}

/**
 * Runs a container of a workload as a node of Kubernetes does: with its user, rights, volumes and variables.
 *
 * @param variables in the place of those of the manifest: ports and addresses, because all pods share this machine
 */
export async function runContainer(
  cluster: Cluster,
  { name, pod, containers }: Workload,
  containerName: string,
  variables: Readonly<Record<string, string>>,
): Promise<Program> {
  const container = containers.find((each) => each.name === containerName);
  if (container === undefined) throw new Error(`${name} has no container ${containerName}`);
  const mounts: string[] = [];
  for (const { name: volume, mountPath, readOnly } of container.volumeMounts ?? []) {
    const spec = pod.volumes?.find((each) => each.name === volume);
    if (spec?.emptyDir !== undefined) {
      mounts.push("--tmpfs", `${mountPath}:rw,size=64m,mode=1777`);
    } else {
      const place = join(cluster.folder, `${name}-${volume}`);
      if (spec?.secret === undefined) await makeVolume(place, pod.securityContext?.fsGroup ?? 0);
      else await writeSecret(place, cluster.secrets[spec.secret.secretName ?? ""], spec.secret.items);
      mounts.push("--volume", `${place}:${mountPath}:${readOnly === true ? "ro" : "rw"}`);
    }
  }
  const { securityContext } = container;
  const rights = [
    ...["--user", `${pod.securityContext?.runAsUser}:${pod.securityContext?.runAsGroup}`],
    ...(securityContext?.readOnlyRootFilesystem === true ? ["--read-only", "--read-only-tmpfs=false"] : []),
    ...(securityContext?.allowPrivilegeEscalation === false ? ["--security-opt=no-new-privileges"] : []),
    ...(securityContext?.capabilities?.drop ?? []).map((capability) => `--cap-drop=${capability}`),
  ];
  const hosts = cluster.manifests
    .filter(({ kind }) => kind === "Service")
    .flatMap(({ metadata }) => ["--add-host", `${metadata.name}:127.0.0.1`]);
  const environment = environmentOf(container, cluster.manifests, (secret, key) => {
    const value = cluster.secrets[secret]?.[key];
    if (value === undefined) throw new Error(`no key ${key} in a Secret ${secret}`);
    return value;
  });
  return cluster.podman.run({
    image: cluster.image,
    args: container.args ?? [],
    environment: { ...environment, ...variables },
    options: [...rights, ...mounts, ...hosts],
  });
}

/** As kubelet gives a volume to fsGroup. */
async function makeVolume(place: string, fsGroup: number): Promise<void> {
  await mkdir(place, { recursive: true });
  await chown(place, 0, fsGroup);
  await chmod(place, 0o2775);
}

/** For the group only, as `defaultMode: 0440` has it. */
async function writeSecret(
  place: string,
  secret: Readonly<Record<string, string>> | undefined,
  items: readonly { readonly key: string; readonly path: string }[] | undefined,
): Promise<void> {
  if (secret === undefined) throw new Error(`no Secret for ${place}`);
  await mkdir(place, { recursive: true });
  for (const { key, path } of items ?? Object.keys(secret).map((each) => ({ key: each, path: each }))) {
    const file = join(place, path);
    await writeFile(file, secret[key] ?? "");
    await chown(file, 0, 1000);
    await chmod(file, 0o440);
  }
}
