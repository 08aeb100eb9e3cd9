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
  /** Milliseconds since 1970 of a clock that does not jump. */
  readonly nowMs: () => number;
}

export interface ExecutedBatch {
  readonly outcome: BatchOutcome;
  /** For the caller to show with its next request, so that it reads its own writes: never smaller than one given before. */
  readonly syncToken: string;
}

/** Answers within the deadline, whatever happens to Redis; `syncToken` is what the caller showed. */
export type ExecuteBatch = (commands: readonly RedisCommand[], syncToken: string | undefined) => Promise<ExecutedBatch>;

/**
 * Redis executes what it has read and only then replies, so the first slice is small enough that large replies to it are
 * no noticeable part of a deadline. The next ones double: what fitted before is not far from fitting.
 */
const FIRST_SLICE_COMMANDS = 128;
const MAX_SLICE_COMMANDS = 1_024;

/** A cursor means something only to the server that gave it: its hash tables are seeded at random. */
const CURSOR_COMMANDS: ReadonlySet<string> = new Set(["SCAN", "SSCAN", "HSCAN", "ZSCAN"]);

/**
 * Chooses for each batch, as a whole so that its order holds, who runs it.
 *
 * A client keeps the token of the last answer that reached it, and answers to concurrent requests arrive in any order: a
 * read's may replace that of a later write. So the token that a client shows says only that it wants to read its own
 * writes; a replica must then have every write that was answered here, whoever asked for it, and the write of the token,
 * which another redis-rest may have answered. Between several redis-rest that is as exact as their clocks, and holds for
 * a client that has no requests to two of them under way at once. A client that shows no token gets what replicas have.
 */
export function createCommandRouter(options: CommandRouterOptions): ExecuteBatch {
  const { table, deadlineMs, primary, writer, reader, nowMs } = options;
  const tokens = new SyncTokens(nowMs);

  function isRead(command: RedisCommand): boolean {
    return commandKind(table, command) === "read" && !CURSOR_COMMANDS.has(command.name);
  }

  /**
   * A long batch goes in slices, so that what others ask gets in between, and nothing more is sent when its deadline is
   * over or its replies are too many. A transaction is one: it can't be parted.
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
    // Slices of one request from several replicas might go back in time.
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
    // A write that is late for its deadline counts too, from when it was executed.
    if (outcome.kind === "unavailable") void pending.then(() => tokens.advance());
    return { outcome, syncToken: tokens.next(shown) };
  };
}

const MICROSECONDS = 1_000;

/**
 * Sync tokens: the time of the newest write that was answered, in microseconds since 1970. They never go back, and no two
 * writes have the same.
 */
class SyncTokens {
  readonly #nowMs: () => number;
  #newest = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** To be called for every write that Redis answered, before its caller hears of it. */
  advance(): void {
    this.#newest = Math.max(Math.ceil(this.#nowMs() * MICROSECONDS), this.#newest) + 1;
  }

  /** For the answer to a write. A token from a redis-rest whose clock is ahead is passed, and changes nothing here. */
  next(shown: string | undefined): string {
    this.advance();
    return String(Math.max(this.#newest, parseSyncToken(shown) + 1));
  }

  /** For any other answer. */
  newest(shown: string | undefined): string {
    return String(Math.max(this.#newest, parseSyncToken(shown)));
  }

  /** What a replica must have for who shows this token, as a time. */
  newestMs(shown: string): number {
    return Math.max(this.#newest, parseSyncToken(shown)) / MICROSECONDS;
  }
}

/** A token of somebody else's making asks for nothing more. */
function parseSyncToken(token: string | undefined): number {
  const parsed = /^\d{1,16}$/.test(token ?? "") ? Number(token) : 0;
  return Number.isSafeInteger(parsed + 1) ? parsed : 0;
}
