import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../../dev/free-port.ts";
import { until } from "../until.ts";
import { Program } from "./program.ts";

/** One series of an instant query. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** An alert that is pending or firing, with its texts as a person would get them. */
export interface ActiveAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: "pending" | "firing";
}

interface Target {
  readonly labels: Readonly<Record<string, string>>;
  readonly health: string;
  readonly lastError: string;
}

interface RuleGroup {
  readonly name: string;
  readonly rules: readonly { readonly name: string; readonly health: string; readonly lastError?: string }[];
}

/** Files of deploy/prometheus, by their names. */
type Files = Readonly<Record<string, string>>;

/** Debian's Prometheus, with the files of deploy/prometheus as a test has changed them. */
export class Prometheus {
  readonly #program: Program;
  readonly #url: string;
  readonly #folder: string;

  private constructor(program: Program, url: string, folder: string) {
    this.#program = program;
    this.#url = url;
    this.#folder = folder;
  }

  /** Starts it and waits until it is ready; `change` is given the text of each file. */
  static async start(names: readonly string[], change: (text: string, name: string) => string): Promise<Prometheus> {
    const folder = await mkdtemp(join(tmpdir(), "artoria-prometheus-"));
    const files: Files = Object.fromEntries(
      await Promise.all(
        names.map(async (name) => [name, await readFile(`deploy/prometheus/${name}`, "utf8")] as const),
      ),
    );
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), change(text, name));
    const port = await freePort();
    const program = new Program("prometheus", [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    const prometheus = new Prometheus(program, `http://127.0.0.1:${port}`, folder);
    try {
      await Promise.race([
        until(async () => (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok),
        program.prints(/Server is ready to receive web requests/),
      ]);
    } catch (error) {
      await prometheus.stop();
      throw new Error(`Prometheus did not start:\n${program.output}`, { cause: error });
    }
    return prometheus;
  }

  /** The result of an instant query. */
  async query(promql: string): Promise<Sample[]> {
    interface Vector {
      readonly result: readonly {
        readonly metric: Record<string, string>;
        readonly value: readonly [number, string];
      }[];
    }
    const { result } = await this.#get<Vector>(`query?query=${encodeURIComponent(promql)}`);
    return result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }));
  }

  async targets(): Promise<readonly Target[]> {
    return (await this.#get<{ activeTargets: readonly Target[] }>("targets")).activeTargets;
  }

  async ruleGroups(): Promise<readonly RuleGroup[]> {
    return (await this.#get<{ groups: readonly RuleGroup[] }>("rules")).groups;
  }

  async alerts(): Promise<readonly ActiveAlert[]> {
    return (await this.#get<{ alerts: readonly ActiveAlert[] }>("alerts")).alerts;
  }

  async stop(): Promise<void> {
    this.#program.signal("SIGTERM");
    await this.#program.ended();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** https://prometheus.io/docs/prometheus/latest/querying/api/ */
  async #get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.#url}/api/v1/${path}`);
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    return ((await response.json()) as { readonly data: T }).data;
  }
}
