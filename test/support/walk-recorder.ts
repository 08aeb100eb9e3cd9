import { Session } from "node:inspector/promises";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseAst } from "vite";

/** The files that a request passes through. Metrics count it and change nothing on its way. */
const PROGRAMS = /^(protocol|worker|tcp-bridge|redis-rest)\/(?!(.*\/)?([\w-]+-)?metrics\.ts$)/;

const ROOT = new URL("../../", import.meta.url).href;
/** Longer than any timer's period. */
const IDLE_MS = 2_500;
/** A path that only an instrumented worker knows. */
const RECORDED_PATH = "/recorded-files";

/**
 * Records which files of the programs run: V8 counts the calls of those in this process (bridge, redis-rest), and the worker
 * counts its own after {@link instrumentWorker}. What a test itself calls in this process counts too, so a test speaks to
 * the programs in bytes that it made before.
 */
export class WalkRecorder {
  readonly #session = new Session();
  readonly #edgeUrl: string;
  /** Functions that timers run, by {@link functionKey}. */
  readonly #idle = new Set<string>();

  private constructor(edgeUrl: string) {
    this.#edgeUrl = edgeUrl;
  }

  /** Records first what runs without any request, which it leaves out later. */
  static async start(edgeUrl: string): Promise<WalkRecorder> {
    const recorder = new WalkRecorder(edgeUrl);
    recorder.#session.connect();
    await recorder.#session.post("Profiler.enable");
    await recorder.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
    await recorder.#takeFunctions();
    await pause(IDLE_MS);
    for (const { file, name } of await recorder.#takeFunctions()) recorder.#idle.add(functionKey(file, name));
    return recorder;
  }

  /** The files of which a function has run since the last call, relative to the repository. */
  async take(): Promise<Set<string>> {
    const ran = await this.#takeFunctions();
    const response = await fetch(this.#edgeUrl + RECORDED_PATH);
    const files = new Set((await response.json()) as string[]);
    for (const { file, name } of ran) if (!this.#idle.has(functionKey(file, name))) files.add(file);
    return files;
  }

  /** The programs' functions that have run in this process since the last call. */
  async #takeFunctions(): Promise<{ readonly file: string; readonly name: string }[]> {
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    return result.flatMap(({ url, functions }) => {
      const file = url.startsWith(ROOT) ? url.slice(ROOT.length) : url.replace(fileURLToPath(ROOT), "");
      if (!PROGRAMS.test(file)) return [];
      const ran = functions.filter(({ ranges }) => ranges.some(({ count }) => count > 0));
      return ran.map(({ functionName: name }) => ({ file, name }));
    });
  }

  stop(): void {
    this.#session.disconnect();
  }
}

const functionKey = (file: string, name: string): string => `${file}#${name}`;

/** Only what is read here of a node of the syntax tree (ESTree). */
interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly body?: SyntaxNode;
}

/**
 * The bundled worker with a mark in each function that notes the file which the function is from, as esbuild's comments
 * name it. `GET /recorded-files` responds with the notes since the last such request, a JSON array.
 */
export function instrumentWorker(script: string): string {
  const files = [...script.matchAll(/^\/\/ ([\w./@-]+\.\w+)$/gm)];
  const fileAt = (position: number) => files.findLast(({ index }) => index < position)?.[1] ?? "";
  const insertions: { readonly at: number; readonly text: string }[] = [];
  for (const { type, start, body } of functionsIn(parseAst(script))) {
    const file = fileAt(start);
    if (body === undefined || !PROGRAMS.test(file)) continue;
    const mark = `recordedFiles.add(${JSON.stringify(file)})`;
    if (body.type === "BlockStatement") insertions.push({ at: body.start + 1, text: `${mark};` });
    else if (type === "ArrowFunctionExpression") {
      insertions.push({ at: body.start, text: `(${mark}, ` }, { at: body.end, text: ")" });
    }
  }
  let marked = script;
  for (const { at, text } of insertions.sort((a, b) => b.at - a.at)) {
    marked = marked.slice(0, at) + text + marked.slice(at);
  }
  const [, entry] = /(\w+) as default/.exec(marked) ?? [];
  if (entry === undefined) throw new Error("the worker's bundle has no default export");
  return `const recordedFiles = new Set();\n${marked.replace(`${entry} as default`, "recordedEntry as default")}
const recordedEntry = {
  ...${entry},
  fetch(request, env, context) {
    if (new URL(request.url).pathname !== "${RECORDED_PATH}") return ${entry}.fetch(request, env, context);
    const files = [...recordedFiles];
    recordedFiles.clear();
    return Response.json(files);
  },
};
`;
}

/** Every function of a tree, in any order. */
function* functionsIn(node: unknown): Generator<SyntaxNode> {
  if (Array.isArray(node)) for (const child of node) yield* functionsIn(child);
  else if (typeof node === "object" && node !== null) {
    const { type } = node as SyntaxNode;
    if (/Function(Declaration|Expression)$/.test(type)) yield node as SyntaxNode;
    for (const child of Object.values(node)) yield* functionsIn(child);
  }
}
