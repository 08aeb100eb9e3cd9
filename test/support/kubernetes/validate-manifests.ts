import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Manifest } from "./manifests.ts";

/** A class of kubernetes-models: a validator that was made from Kubernetes' OpenAPI description. */
type Model = new (manifest: object) => { validate(): void };

/**
 * What is wrong with objects, by kubernetes-models, which is made from Kubernetes' OpenAPI description: its validators find missing
 * fields and wrong values, and the compiler finds unknown fields by its types.
 */
export async function validateManifests(manifests: readonly Manifest[]): Promise<string[]> {
  const wrong = await Promise.all(manifests.map(async (manifest) => [...(await faultsOf(manifest))]));
  return [...wrong.flat(), ...(await unknownFields(manifests))];
}

async function faultsOf(manifest: Manifest): Promise<string[]> {
  const { apiVersion, kind, metadata } = manifest;
  const models: Record<string, Model | undefined> = await import(moduleOf(apiVersion));
  const Model = models[kind];
  if (Model === undefined) return [`${apiVersion} has no ${kind}`];
  try {
    new Model(manifest).validate();
    return [];
  } catch (error) {
    return [`${kind} ${metadata.name}: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/** One object for each constant, in a file below node_modules, so that the compiler finds kubernetes-models from there. */
async function unknownFields(manifests: readonly Manifest[]): Promise<string[]> {
  const lines = manifests.map(
    (manifest, index) =>
      `export const manifest${index}: import("${moduleOf(manifest.apiVersion)}").I${manifest.kind} = ${JSON.stringify(manifest)};`,
  );
  await mkdir("node_modules/.cache", { recursive: true });
  const folder = await mkdtemp("node_modules/.cache/manifests-");
  try {
    const file = join(folder, "manifests.ts");
    await writeFile(file, lines.join("\n"));
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"];
    // The project's tsconfig.json files do not apply to a file that is named.
    const compile = promisify(execFile)(process.execPath, [TSC, ...options, "--types", "", "--ignoreConfig", file]);
    const output = await compile.then(
      () => "",
      (error: { stdout: string }) => error.stdout,
    );
    return output.split("\n").filter((line) => line.includes("error TS"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

const TSC = "node_modules/typescript/bin/tsc";

/** "apps/v1" has a module of its own, as "v1" has. */
function moduleOf(apiVersion: string): string {
  return `kubernetes-models/${apiVersion}`;
}
