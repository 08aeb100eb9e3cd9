import { pino } from "pino";
import { describeError, oneLine } from "../config/log-line.ts";
import { onStopSignals } from "../config/stop-signals.ts";
import { parseEdgeConfig } from "./config.ts";
import { startEdge } from "./edge.ts";
import { readEdgeBuild } from "./edge-build.ts";

/**
 * The program of `npm run edge`; an argument is the folder of another build. SIGTERM and SIGINT drain it; a second signal ends it at
 * once. If workerd ends, so does the program, for its supervisor to start it again.
 */
async function main(): Promise<void> {
  // What is written to STATE_DIR, here and by workerd, is for the owner alone.
  process.umask(0o077);
  const build = await readEdgeBuild(process.argv[2]);
  const config = parseEdgeConfig(process.env, build.bindings.variables);
  const log = pino({ name: "edge" });
  const edge = await startEdge(build, config, { print: (line) => process.stdout.write(`${line}\n`) });
  log.info({ url: edge.url, state: config.state }, "listening");
  let stopping = false;
  edge.ended.then((how) => {
    if (!stopping) fail(new Error(how));
  }, fail);
  const stop = async () => {
    stopping = true;
    log.info("draining");
    await edge.close();
    log.info("stopped");
    process.exit(0);
  };
  onStopSignals(process, {
    first: () => {
      stop().catch(fail);
    },
    again: (exitCode) => process.exit(exitCode),
  });
}

/** Writes one line and exits: the message alone if the operator can correct the error, otherwise with its stack. */
function fail(error: unknown): void {
  process.stderr.write(`artoria edge: ${error instanceof Error ? oneLine(error.message) : describeError(error)}\n`);
  process.exit(1);
}

// Node would print the message with its line breaks.
process.on("uncaughtException", (error) => {
  process.stderr.write(`artoria edge: ${describeError(error)}\n`);
  process.exit(1);
});
main().catch(fail);
