import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const { resolve } = createRequire(import.meta.url);

/** npm itself; `npx` of the same version is beside it. */
function npmCommand(tool: "npm" | "npx"): readonly [string, readonly string[]] {
  const npm = process.env["npm_execpath"];
  return npm === undefined ? [tool, []] : [process.execPath, [join(dirname(npm), `${tool}-cli.js`)]];
}

/** The environment of somebody who has never heard of this project's npm. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:npm_|NODE_OPTIONS|VITEST)/.test(name)),
  );
}

/** A project of somebody else, in an empty folder. */
export class Consumer {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Installs these packages, as the README of the package says. */
  static async create(packages: readonly string[], type: "module" | "commonjs" = "module"): Promise<Consumer> {
    const consumer = new Consumer(await mkdtemp(join(tmpdir(), "artoria-consumer-")));
    await consumer.write({ "package.json": JSON.stringify({ name: "consumer", private: true, type }) });
    await consumer.npm("install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", ...packages);
    return consumer;
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(this.path(name)), { recursive: true });
      await writeFile(this.path(name), text);
    }
  }

  /** What the program prints. Rejects, with its output, if it ends with another code than 0. */
  async run(program: string, args: readonly string[], variables: NodeJS.ProcessEnv = {}): Promise<string> {
    const env = { ...plainEnvironment(), ...variables };
    try {
      return (await run(program, args, { cwd: this.folder, env })).stdout;
    } catch (error) {
      const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
      throw new Error(`${program} ${args.join(" ")}:\n${stdout}${stderr}`, { cause: error });
    }
  }

  npm(...args: string[]): Promise<string> {
    const [program, first] = npmCommand("npm");
    return this.run(program, [...first, ...args]);
  }

  npx(args: readonly string[], variables: NodeJS.ProcessEnv = {}): Promise<string> {
    const [program, first] = npmCommand("npx");
    return this.run(program, [...first, ...args], variables);
  }

  /** Runs a program of this project's devDependencies here. */
  tool(file: string, ...args: string[]): Promise<string> {
    return this.run(process.execPath, [resolve(`../../../node_modules/${file}`), ...args]);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
