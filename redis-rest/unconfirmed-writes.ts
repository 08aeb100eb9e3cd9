import type { RedisCommand } from "./redis-connection.ts";

const SCRIPT_COMMANDS: ReadonlySet<string> = new Set(["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"]);
/** What they answer depends on keys that they do not name. */
const WHOLE_DATABASE: ReadonlySet<string> = new Set(["KEYS", "SCAN", "DBSIZE", "RANDOMKEY", "FLUSHDB"]);

const MAX_KEY_LENGTH = 256;

/**
 * Writes that too few replicas have acknowledged yet. A read that may show one of them must not be answered before they
 * have: a failover might take the write back. Which keys a command has is not looked up: any of its arguments may be one,
 * and of a script those that it declares.
 */
export class UnconfirmedWrites {
  readonly #words = new Map<string, number>();
  #batches = 0;
  #wholeDatabase = 0;

  add(commands: readonly RedisCommand[]): void {
    this.#count(commands, 1);
  }

  remove(commands: readonly RedisCommand[]): void {
    this.#count(commands, -1);
  }

  /** Whether an answer to these commands may show such a write. */
  mayShowIn(commands: readonly RedisCommand[]): boolean {
    if (this.#batches === 0) return false;
    if (this.#wholeDatabase > 0) return true;
    return commands.some(
      (command) => WHOLE_DATABASE.has(command.name) || wordsOf(command).some((word) => this.#words.has(keyOf(word))),
    );
  }

  #count(commands: readonly RedisCommand[], change: 1 | -1): void {
    if (commands.length === 0) return;
    this.#batches += change;
    for (const command of commands) {
      if (WHOLE_DATABASE.has(command.name)) this.#wholeDatabase += change;
      for (const word of wordsOf(command)) {
        const key = keyOf(word);
        const count = (this.#words.get(key) ?? 0) + change;
        if (count === 0) this.#words.delete(key);
        else this.#words.set(key, count);
      }
    }
  }
}

/** A value may be long: two that begin alike count as the same. */
function keyOf(word: string | Buffer): string {
  return String(word.length > MAX_KEY_LENGTH ? word.slice(0, MAX_KEY_LENGTH) : word);
}

function wordsOf({ name, args }: RedisCommand): RedisCommand["args"] {
  return SCRIPT_COMMANDS.has(name) ? args.slice(2, 2 + Number(args[1])) : args;
}
