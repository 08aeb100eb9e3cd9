import { once } from "node:events";
import type { Command } from "commander";
import { onStopSignals } from "../../config/stop-signals.ts";
import { Status, statusName } from "../../protocol/status-codes.ts";
import { printable } from "../chat/plain-text.ts";
import { type ConnectionError, Connector } from "../connector.ts";
import { SessionWatch, type WatchEvent } from "../session-watch.ts";
import {
  addBridgeOptions,
  type BridgeOptions,
  clientOptions,
  connectorOptions,
  sessidArgument,
} from "./bridge-options.ts";
import { ExitCode } from "./exit-code.ts";

interface WatchOptions extends BridgeOptions {
  readonly after?: string;
  readonly json?: boolean;
}

/** Adds `watch`: the sessions that end, a line each, until Ctrl-C. */
export function addWatchCommand(program: Command): void {
  const command = program
    .command("watch")
    .description("print each session that ends, until Ctrl-C; then the position to go on from")
    .argument("[sessids...]", "only these sessions, until all have ended; renews them", (text, before?: number[]) => [
      ...(before ?? []),
      sessidArgument(text),
    ])
    .option("--after <position>", "begin with what happened after this position")
    .option("--json", "print each event as one JSON object; checkpoints too");
  addBridgeOptions(command).action(watch);
}

async function watch(sessids: readonly number[], options: WatchOptions): Promise<void> {
  const { after, json = false } = options;
  const events = await SessionWatch.open({
    connector: new Connector(connectorOptions(options)),
    client: clientOptions(options),
    scope: sessids.length > 0 ? "known" : "all",
    ...(after !== undefined && { after }),
    onInterrupted: tellInterruptions(),
  });
  onStopSignals(process, { first: () => events.close(), again: (exitCode) => process.exit(exitCode) });
  // Whoever reads the lines may stop first, as `head` does.
  process.stdout.on("error", () => events.close());
  process.stderr.write("artoria: watching; Ctrl-C ends it\n");
  const left = new Set(sessids);
  const endIfAllHaveEnded = (): void => {
    if (sessids.length > 0 && left.size === 0) events.close();
  };
  const checkAgain = async (): Promise<void> => {
    for (const sessid of await findEnded(events, left)) {
      left.delete(sessid);
      await print(json ? JSON.stringify({ kind: "not_found", sessid }) : `not found ${sessid}`);
    }
    endIfAllHaveEnded();
  };
  await checkAgain();
  for await (const event of events) {
    if (event.kind === "ended" && sessids.length > 0 && !left.delete(event.sessid)) continue;
    await print(json ? JSON.stringify(asJson(event)) : asText(event));
    if (event.kind === "reset") await checkAgain();
    endIfAllHaveEnded();
  }
  if (events.position !== undefined) process.stderr.write(`artoria: go on with --after ${events.position}\n`);
  process.exitCode = ExitCode.Ok;
}

/** Those of the sessions that are not there, or not any more. */
async function findEnded(events: SessionWatch, sessids: Iterable<number>): Promise<number[]> {
  const statuses = await Promise.all(
    Array.from(sessids, async (sessid) => {
      const { status } = await events.request({ kind: "check", sessid });
      if (status !== Status.Ok && status !== Status.NotFound) throw new Error(`a check is ${statusName(status)}`);
      return { sessid, status };
    }),
  );
  return statuses.filter(({ status }) => status === Status.NotFound).map(({ sessid }) => sessid);
}

/** Waits for a slow reader: the bridge then holds back what it does not take. */
async function print(line: string | undefined): Promise<void> {
  if (line !== undefined && !process.stdout.write(`${line}\n`)) await once(process.stdout, "drain").catch(() => {});
}

/** The object that the edge sends for an end (docs/http-api.md). */
function asJson(event: WatchEvent): object {
  if (event.kind !== "ended") return event;
  const { position, at, kind, reason, sessid, user } = event;
  return { position, at, kind, reason, sessid, user };
}

/** Undefined for a checkpoint, which tells a reader nothing. */
function asText(event: WatchEvent): string | undefined {
  if (event.kind === "checkpoint") return undefined;
  if (event.kind === "reset") return "reset: ends before this line are lost";
  const { at, reason, sessid, user } = event;
  return `${new Date(at).toISOString()} ${reason} ${sessid} ${printable(user ?? "-")}`;
}

/** A reason that repeats is told once. */
function tellInterruptions(): (reason: ConnectionError) => void {
  let told: string | undefined;
  return ({ message }) => {
    if (message !== told) process.stderr.write(`artoria: ${printable(message)}; trying again\n`);
    told = message;
  };
}
