import { type CommandTable, commandKind } from "./command-table.ts";
import { withinDeadline } from "./deadline.ts";
import type { BatchOutcome, RedisCommand, RunBatch } from "./redis-connection.ts";
import type { RunReads } from "./replica-reads.ts";

export interface CommandRouterOptions {
  readonly table: CommandTable;
  readonly deadlineMs: number;
  readonly primary: RunBatch;
  /** Where batches with a write go. */
  readonly writer: RunBatch;
  /** Where batches of nothing but reads go. */
  readonly reader: RunReads;
  /** Milliseconds since 1970 of a clock that does not jump. */
  readonly nowMs: () => number;
}

export interface ExecutedBatch {
  readonly outcome: BatchOutcome;
  /** For the caller to show with its next request, so that it reads its own writes. */
  readonly syncToken: string;
}

/** Answers within the deadline, whatever happens to Redis; `syncToken` is what the caller showed. */
export type ExecuteBatch = (commands: readonly RedisCommand[], syncToken: string | undefined) => Promise<ExecutedBatch>;

/** A cursor means something only to the server that gave it: its hash tables are seeded at random. */
const CURSOR_COMMANDS: ReadonlySet<string> = new Set(["SCAN", "SSCAN", "HSCAN", "ZSCAN"]);

/**
 * Chooses for each batch, as a whole so that its order holds, who runs it. The sync token is the time of the caller's last
 * write: a replica that may not have it is not asked. Between several redis-rest it is as exact as their clocks.
 */
export function createCommandRouter(options: CommandRouterOptions): ExecuteBatch {
  const { table, deadlineMs, primary, writer, reader, nowMs } = options;

  function isRead(command: RedisCommand): boolean {
    return commandKind(table, command) === "read" && !CURSOR_COMMANDS.has(command.name);
  }

  return async function execute(commands, syncToken) {
    const lastWriteMs = parseSyncToken(syncToken);
    if (commands.every(isRead)) {
      const outcome = await withinDeadline(reader(commands, lastWriteMs), deadlineMs);
      return { outcome, syncToken: String(lastWriteMs) };
    }
    const writes = commands.some((command) => commandKind(table, command) === "write");
    const outcome = await withinDeadline(writes ? writer(commands) : primary(commands), deadlineMs);
    return { outcome, syncToken: String(writes ? Math.ceil(nowMs()) : lastWriteMs) };
  };
}

/** A token of somebody else's making asks for nothing. */
function parseSyncToken(token: string | undefined): number {
  return /^\d{1,15}$/.test(token ?? "") ? Number(token) : 0;
}
