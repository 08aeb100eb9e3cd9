import { Readable } from "node:stream";
import { vi } from "vitest";
import { runArtoria } from "../../client/command/program.ts";
import type { ProgramResult } from "../support/processes/program.ts";

/** The variables that the command line reads. */
const VARIABLES = [
  ...["API_KEY", "EDGE_URL", "BRIDGE_HOST", "BRIDGE_PORT", "BRIDGE_SERVICE_KEY", "WEBHOOK_SECRET"],
  ...["ARTORIA_TOKEN", "PLAYER_PORT"],
];

/**
 * Runs the command line in this process, which takes milliseconds where a process of its own takes half a second. One run at
 * a time: the environment and the standard streams are the process's.
 */
export async function runInProcess(
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
  input = "",
): Promise<ProgramResult> {
  for (const name of VARIABLES) vi.stubEnv(name, variables[name]);
  const { exitCode: exitCodeBefore } = process;
  const stdout = captureWrites(process.stdout);
  const stderr = captureWrites(process.stderr);
  const stdin = vi.spyOn(process, "stdin", "get").mockReturnValue(Readable.from([input]) as typeof process.stdin);
  try {
    await runArtoria(args);
    return { exitCode: Number(process.exitCode ?? 0), stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    process.exitCode = exitCodeBefore;
    stdin.mockRestore();
    stdout.restore();
    stderr.restore();
    vi.unstubAllEnvs();
  }
}

function captureWrites(stream: NodeJS.WriteStream) {
  let written = "";
  const spy = vi.spyOn(stream, "write").mockImplementation((chunk) => {
    written += String(chunk);
    return true;
  });
  return { text: () => written, restore: () => spy.mockRestore() };
}
