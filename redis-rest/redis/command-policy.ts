import type { RedisCommand, RedisReply, RunBatch } from "./redis-connection.ts";

/** What Redis says about its own commands; the keys are names in upper case. */
export type CommandTable = ReadonlyMap<string, CommandEntry>;

export interface CommandEntry {
  /** Redis's own words: readonly, write, admin, blocking, pubsub, ... */
  readonly flags: ReadonlySet<string>;
  /** Of a container such as SCRIPT or FUNCTION; empty for everything else. */
  readonly subcommands: CommandTable;
}

/**
 * `read` changes nothing, so any replica may execute it; `write` may change something; `neutral` is about the server and
 * neither (PING, INFO).
 */
export type CommandKind = "read" | "write" | "neutral";

/** Their scripts may write, though Redis gives them no `write` flag (only some versions show `may_replicate`). */
const RUNS_SCRIPTS: ReadonlySet<string> = new Set(["EVAL", "EVALSHA", "FCALL"]);

/** Reads the flags of every command from Redis itself. Throws if Redis does not list them. */
export async function loadCommandTable(run: RunBatch): Promise<CommandTable> {
  const outcome = await run([{ name: "COMMAND", args: [] }]);
  if (outcome.kind === "unavailable") throw new Error(outcome.message);
  const reply = outcome.replies[0] ?? null;
  if (reply instanceof Error) throw reply;
  return asTable(reply);
}

/** The entry of the subcommand if there is one, else of the command. */
function entryOf(table: CommandTable, { name, args }: RedisCommand): CommandEntry | undefined {
  const entry = table.get(name);
  if (entry === undefined || entry.subcommands.size === 0) return entry;
  return entry.subcommands.get(String(args[0] ?? "").toUpperCase()) ?? entry;
}

export function commandKind(table: CommandTable, command: RedisCommand): CommandKind {
  const flags = entryOf(table, command)?.flags;
  if (flags === undefined || RUNS_SCRIPTS.has(command.name)) return "write";
  if (flags.has("write") || flags.has("may_replicate")) return "write";
  return flags.has("readonly") ? "read" : "neutral";
}

/*
 * Which commands a caller may send: those of the server's own command table, so that no unknown word reaches Redis (which
 * disconnects after some: "POST", "HOST:"). Refused by name are commands that would block or change the connection which all
 * callers share, change the scripts that all callers run, leave the database of REDIS_URL, or administer the server. Commands
 * of these kinds in a newer Redis or a module are refused by their flags.
 *
 * Redis itself keeps most of these out of scripts (flag `noscript`), but scripts may call SELECT, SWAPDB, MOVE and FLUSHALL. A
 * caller that must stay in one database needs a Redis user without these (ACL), or a Redis of its own.
 */

const BLOCKS = "it would block the connection that callers share";
const SUBSCRIBES = "it needs a connection of its own";
const CHANGES = "it would change the connection that callers share";
const TRANSACTS = "send the transaction to /multi-exec";
const LEAVES = "it would reach beyond the database that is served";
const ADMINISTERS = "it administers the server";
const SHARED = "it would change the scripts and functions that all callers run";

const REFUSED: ReadonlyMap<string, string> = new Map([
  ...names(BLOCKS, "BLPOP BRPOP BRPOPLPUSH BLMOVE BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF"),
  ...names(SUBSCRIBES, "SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR SYNC PSYNC"),
  ...names(CHANGES, "SELECT AUTH HELLO RESET QUIT CLIENT READONLY READWRITE ASKING RESTORE-ASKING"),
  ...names(TRANSACTS, "MULTI EXEC DISCARD WATCH UNWATCH"),
  ...names(LEAVES, "SWAPDB MOVE MIGRATE FLUSHALL"),
  ...names(ADMINISTERS, "SHUTDOWN DEBUG CONFIG REPLICAOF SLAVEOF FAILOVER REPLCONF CLUSTER MODULE ACL"),
  ...names(ADMINISTERS, "SAVE BGSAVE BGREWRITEAOF LATENCY SLOWLOG"),
]);

/** How much of an unknown command Redis itself repeats (server.c, rejectCommandFormat: "%.128s"). */
const MAX_ECHOED_CHARACTERS = 128;

/** The pubsub commands that need no subscription. */
const PUBLISHES: ReadonlySet<string> = new Set(["PUBLISH", "SPUBLISH", "PUBSUB"]);

/** Refused subcommands of served commands. */
const REFUSED_SUBCOMMANDS: ReadonlyMap<string, string> = new Map([
  ["SCRIPT DEBUG", CHANGES],
  ["SCRIPT FLUSH", SHARED],
  ["FUNCTION LOAD", SHARED],
  ["FUNCTION DELETE", SHARED],
  ["FUNCTION FLUSH", SHARED],
  ["FUNCTION RESTORE", SHARED],
]);

const CONTAINERS: ReadonlySet<string> = new Set(["SCRIPT", "FUNCTION"]);

/** The text of the error reply that refuses the command, or null if it may go to Redis. */
export function refusal(table: CommandTable, command: RedisCommand): string | null {
  const { name, args } = command;
  const why = REFUSED.get(name) ?? refusedByOption(command);
  if (why !== undefined) return notAvailable(name, why);
  const entry = entryOf(table, command);
  if (entry === undefined) return `ERR unknown command '${name.slice(0, MAX_ECHOED_CHARACTERS)}'`;
  if (CONTAINERS.has(name)) {
    const fullName = `${name} ${String(args[0]).toUpperCase()}`;
    const whyNot = REFUSED_SUBCOMMANDS.get(fullName);
    if (whyNot !== undefined) return notAvailable(fullName, whyNot);
  }
  if (entry.flags.has("admin")) return notAvailable(name, ADMINISTERS);
  if (entry.flags.has("blocking") && !isStreamRead(name)) return notAvailable(name, BLOCKS);
  if (entry.flags.has("pubsub") && !PUBLISHES.has(name)) return notAvailable(name, SUBSCRIBES);
  return null;
}

function refusedByOption({ name, args }: RedisCommand): string | undefined {
  if (isStreamRead(name) && waitsForEntries(args)) return BLOCKS;
  if (name === "COPY" && args.slice(2).some((arg) => isWord(arg, "DB"))) return LEAVES;
  return undefined;
}

function isStreamRead(name: string): boolean {
  return name === "XREAD" || name === "XREADGROUP";
}

/** Looks for BLOCK as Redis does: options have any order up to STREAMS, and a group or consumer may have any name. */
function waitsForEntries(args: RedisCommand["args"]): boolean {
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (isWord(arg, "BLOCK")) return true;
    if (isWord(arg, "STREAMS")) return false;
    if (isWord(arg, "GROUP")) at += 2;
    if (isWord(arg, "COUNT")) at += 1;
  }
  return false;
}

function isWord(arg: string | Buffer, word: string): boolean {
  return String(arg).toUpperCase() === word;
}

/** The real service's words, and why. */
function notAvailable(name: string, why: string): string {
  return `ERR Command is not available: '${name}': ${why}`;
}

function names(why: string, list: string): [string, string][] {
  return list.split(" ").map((name) => [name, why]);
}

/** An entry is [name, arity, flags, ...], and since Redis 7 its tenth item are the subcommands' entries ("script|load"). */
function asTable(reply: RedisReply | undefined): CommandTable {
  const table = new Map<string, CommandEntry>();
  for (const item of asList(reply)) {
    const [name, , flags, , , , , , , subcommands] = asList(item);
    const shortName = asText(name).split("|").at(-1) ?? "";
    table.set(shortName.toUpperCase(), {
      flags: new Set(asList(flags).map(asText)),
      subcommands: asTable(subcommands),
    });
  }
  return table;
}

function asList(reply: RedisReply | undefined): readonly RedisReply[] {
  return Array.isArray(reply) ? reply : [];
}

function asText(reply: RedisReply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString() : "";
}
