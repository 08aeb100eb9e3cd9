import type { RedisCommand, RedisReply, RunBatch } from "./redis-connection.ts";

/** What the server says about its own commands; the keys are names in upper case. */
export type CommandTable = ReadonlyMap<string, CommandEntry>;

export interface CommandEntry {
  /** Redis's own words: readonly, write, admin, blocking, pubsub, ... */
  readonly flags: ReadonlySet<string>;
  /** Of a container such as SCRIPT or FUNCTION; empty for everything else. */
  readonly subcommands: CommandTable;
}

/**
 * `read` changes nothing, so any copy may answer it; `write` may change something; `neutral` is about the server and
 * neither (PING, INFO).
 */
export type CommandKind = "read" | "write" | "neutral";

/** May write by what they run, though Redis gives them no `write` flag (`may_replicate` is shown by some versions only). */
const RUNS_SCRIPTS: ReadonlySet<string> = new Set(["EVAL", "EVALSHA", "FCALL"]);

/** Reads the flags of every command from the server itself. Throws when the server does not tell. */
export async function loadCommandTable(run: RunBatch): Promise<CommandTable> {
  const outcome = await run([{ name: "COMMAND", args: [] }]);
  if (outcome.kind === "unavailable") throw new Error(outcome.message);
  const reply = outcome.replies[0] ?? null;
  if (reply instanceof Error) throw reply;
  return asTable(reply);
}

/** The entry that decides about this command: a container's subcommand if it has it, else the command's own. */
export function entryOf(table: CommandTable, { name, args }: RedisCommand): CommandEntry | undefined {
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
