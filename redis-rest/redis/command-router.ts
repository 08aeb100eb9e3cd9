import { type CommandTable, commandKind } from "./command-policy.ts";
import {
  type BatchOutcome,
  type RedisCommand,
  type RedisReply,
  type RunBatch,
  unavailable,
  withinDeadline,
} from "./redis-connection.ts";
import type { RunReads } from "./replica-reads.ts";

export interface CommandRouterOptions {
  readonly table: CommandTable;
  readonly deadlineMs: number;
  readonly primary: RunBatch;
  /** Where batches with a write go. */
  readonly writer: RunBatch;
  /** Where batches of nothing but reads go. */
  readonly reader: RunReads;
  readonly onExecuted: (outcome: BatchOutcome, seconds: number) => void;
}

export interface ExecutedBatch {
  readonly outcome: BatchOutcome;
  /** The caller shows it with its next request, to read its own writes. It is never smaller than an earlier one. */
  readonly syncToken: string;
}

/** Executes a batch, within the deadline whatever happens to Redis. `syncToken` is the token that the caller showed. */
export type ExecuteBatch = (commands: readonly RedisCommand[], syncToken: string | undefined) => Promise<ExecutedBatch>;

/**
 * Redis executes all commands that it has read before it replies, so the first slice is small: large replies to it take little
 * of the deadline. Each of the next slices is twice as large.
 */
const FIRST_SLICE_COMMANDS = 128;
const MAX_SLICE_COMMANDS = 1_024;

/** A cursor is valid only at the server that gave it: each server seeds its hash tables at random. */
const CURSOR_COMMANDS: ReadonlySet<string> = new Set(["SCAN", "SSCAN", "HSCAN", "ZSCAN"]);

/**
 * Chooses the connection for each batch: one for the whole batch, so that its commands keep their order.
 *
 * A client keeps the token of the last response that it received, and responses to concurrent requests arrive in any order:
 * the token of a read may replace that of a later write. So a token says only that the client wants to read its own writes.
 * A replica must then have every write that this redis-rest has responded to, and the write of the token, which may come from
 * another redis-rest. Between several redis-rest this is as exact as their clocks, and holds for a client that has no
 * concurrent requests to two of them. A client that shows no token reads what the replicas have.
 */
export function createCommandRouter(options: CommandRouterOptions): ExecuteBatch {
  const { table, deadlineMs, primary, writer, reader, onExecuted } = options;
  const tokens = new SyncTokens();

  function isRead(command: RedisCommand): boolean {
    return commandKind(table, command) === "read" && !CURSOR_COMMANDS.has(command.name);
  }

  /**
   * Sends a long batch in slices, with the batches of others between them, and stops when the deadline is over or the replies
   * are too large. A transaction is never sliced.
   */
  async function inSlices(run: RunBatch, commands: readonly RedisCommand[]): Promise<BatchOutcome> {
    const endMs = nowMs() + deadlineMs;
    const replies: RedisReply[] = [];
    for (
      let size = FIRST_SLICE_COMMANDS;
      replies.length < commands.length;
      size = Math.min(2 * size, MAX_SLICE_COMMANDS)
    ) {
      if (nowMs() > endMs || commands[0]?.limit?.isOver === true) return unavailable("not all commands were executed");
      const outcome = await run(commands.slice(replies.length, replies.length + size));
      if (outcome.kind === "unavailable") return outcome;
      replies.push(...outcome.replies);
    }
    return { kind: "replies", replies };
  }

  return async function execute(commands, shown) {
    const startMs = nowMs();
    const executed = await route(commands, shown);
    onExecuted(executed.outcome, (nowMs() - startMs) / 1_000);
    return executed;
  };

  async function route(commands: readonly RedisCommand[], shown: string | undefined): Promise<ExecutedBatch> {
    // Slices of one batch could go to several replicas, and the later ones read older data.
    if (commands.length <= FIRST_SLICE_COMMANDS && commands.every(isRead)) {
      const notBeforeMs = shown === undefined ? 0 : tokens.newestMs(shown);
      const outcome = await withinDeadline(reader(commands, notBeforeMs), deadlineMs);
      return { outcome, syncToken: tokens.newest(shown) };
    }
    const writes = commands.some((command) => commandKind(table, command) === "write");
    const run = writes ? writer : primary;
    const isWhole = commands.length <= FIRST_SLICE_COMMANDS || commands[0]?.name === "MULTI";
    const pending = isWhole ? run(commands) : inSlices(run, commands);
    const outcome = await withinDeadline(pending, deadlineMs);
    if (!writes) return { outcome, syncToken: tokens.newest(shown) };
    // A write that misses the deadline counts too, from when it was executed.
    if (outcome.kind === "unavailable") void pending.then(() => tokens.advance());
    return { outcome, syncToken: tokens.next(shown) };
  }
}

/** Milliseconds since 1970, read from the system's clock at the start and monotonic from then on. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

const MICROSECONDS = 1_000;

/**
 * A sync token is the time of the newest write with a response, in microseconds since 1970. Tokens never decrease, and each
 * write has its own.
 */
class SyncTokens {
  #newest = 0;

  /** Call it for every write that Redis replied to, before the caller gets its response. */
  advance(): void {
    this.#newest = Math.max(Math.ceil(nowMs() * MICROSECONDS), this.#newest) + 1;
  }

  /** For the response to a write. A shown token of a redis-rest whose clock is ahead raises it, and changes nothing here. */
  next(shown: string | undefined): string {
    this.advance();
    return String(Math.max(this.#newest, parseSyncToken(shown) + 1));
  }

  /** For any other response. */
  newest(shown: string | undefined): string {
    return String(Math.max(this.#newest, parseSyncToken(shown)));
  }

  /** The time up to which a replica must have all writes to serve a client that shows this token. */
  newestMs(shown: string): number {
    return Math.max(this.#newest, parseSyncToken(shown)) / MICROSECONDS;
  }
}

/** A token of another format counts as 0. */
function parseSyncToken(token: string | undefined): number {
  const parsed = /^\d{1,16}$/.test(token ?? "") ? Number(token) : 0;
  return Number.isSafeInteger(parsed + 1) ? parsed : 0;
}
