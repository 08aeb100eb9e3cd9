import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** The folder of the header, its example and the programs that try it. */
export const CPP = join(ROOT, "client", "cpp");

/** Every warning is an error; what the header does without must not be needed. */
const STRICT = [
  ...["-std=c++17", "-O1", "-fno-exceptions", "-fno-rtti"],
  ...["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"],
];

/** Stops the program at the first error that it finds. */
export const SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/** For a hook that compiles: with sanitizers it takes some seconds of CPU. */
export const COMPILE_TIMEOUT_MS = 300_000;

/** Compiles sources to `output`; their paths are from the project's folder. @throws Error with what the compiler says */
export async function compileCpp(
  compiler: string,
  sources: readonly string[],
  output: string,
  flags: readonly string[] = [],
): Promise<void> {
  await promisify(execFile)(compiler, [...STRICT, ...flags, "-I", CPP, ...sources, "-o", output], { cwd: ROOT });
}
