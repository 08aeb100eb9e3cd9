import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, type Program, startProgram } from "../harness/processes.ts";

/** v0.1.0: the last version whose `npm start` ran the worker in Miniflare. */
const COMMIT = "5acd740";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let folder: string | undefined;

/** Checks the previous version out beside this one, and installs what it needs. It goes when the bench ends. */
export function installPrevious(): void {
  folder = join(mkdtempSync(join(tmpdir(), "artoria-previous-")), "artoria");
  const checkedOut = folder;
  process.once("exit", () => {
    execFileSync("git", ["worktree", "remove", "--force", checkedOut], { cwd: ROOT });
    rmSync(join(checkedOut, ".."), { recursive: true, force: true });
  });
  execFileSync("git", ["worktree", "add", "--detach", folder, COMMIT], { cwd: ROOT, stdio: "ignore" });
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: "ignore" });
}

export interface PreviousStart {
  readonly edgePort: number;
  readonly program: Program;
}

/** The previous version's `npm start`, with its embedded store. */
export async function startPrevious(apiKey: string): Promise<PreviousStart> {
  if (folder === undefined) throw new Error("installPrevious comes before");
  const edgePort = await freePort();
  const program = await startProgram({
    name: "npm start of v0.1.0",
    command: join(folder, "node_modules/.bin/node"),
    args: [join(folder, "dev/start.js")],
    cwd: folder,
    port: edgePort,
    env: {
      ...{ API_KEY: apiKey, EDGE_PORT: String(edgePort) },
      ...{ BRIDGE_PORT: "0", PLAYER_PORT: "0", METRICS_PORT: "0", CHECK_PORT: "0" },
    },
  });
  return { edgePort, program };
}
