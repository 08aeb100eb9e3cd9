import type { Redis } from "ioredis";
import { type BatchOutcome, type RedisCommand, type RedisReply, runOn, unavailable } from "./redis-connection.ts";

export interface ReplicatedWriterOptions {
  /** A connection for nothing else: WAIT holds up whatever comes after it. */
  readonly connection: Redis;
  /** Replicas that must have acknowledged a write before it is answered. */
  readonly replicas: number;
  /** How long the replicas may take. */
  readonly waitMs: number;
  /** A batch that could not be sent for this long is dropped: its caller has already been told. */
  readonly deadlineMs: number;
  /** Which server the connection leads to now; undefined while that is not known. */
  readonly serverId: () => string | undefined;
}

/** So many replicas have acknowledged something that was written at the server after a moment. */
export interface ReplicationProof {
  readonly server: string;
  /** The time since that moment, by the clock on which more has passed: one stands still while a machine is suspended. */
  ageMs(): number;
}

interface QueuedBatch {
  readonly commands: readonly RedisCommand[];
  readonly dropAtMs: number;
  readonly resolve: (outcome: BatchOutcome) => void;
}

/** Few enough that their execution is no noticeable part of the deadline. */
const MAX_GROUP_COMMANDS = 4_096;

/**
 * Ends each group, so that even a group which changed nothing has something that the replicas can only acknowledge now:
 * WAIT alone counts what they acknowledged earlier. It is replicated and leaves no trace.
 */
export const PROOF_COMMAND: RedisCommand = { name: "PUBLISH", args: ["artoria:proof", ""] };

/**
 * Runs batches whose effects must be on `replicas` replicas before they are answered. While one WAIT is under way the
 * batches that arrive form a group, which goes out together with a single WAIT: a busy server pays for one round trip to
 * the replicas a group, not a batch. When too few replicas acknowledge in time the batch is `unavailable` with Redis's code
 * NOREPLICAS, although it has been executed at the primary.
 */
export class ReplicatedWriter {
  readonly #options: ReplicatedWriterOptions;
  #queue: QueuedBatch[] = [];
  #isSending = false;
  #lastProof: ReplicationProof | undefined;
  /** What is queued, or waits for the replicas. */
  readonly unconfirmed = new UnconfirmedWrites();

  constructor(options: ReplicatedWriterOptions) {
    this.#options = options;
  }

  /** Of the last group; undefined when that failed, so that what it may have done is on no replica. */
  get lastProof(): ReplicationProof | undefined {
    return this.#lastProof;
  }

  /** An empty batch gets no replies: it asks for a proof. */
  run(commands: readonly RedisCommand[]): Promise<BatchOutcome> {
    this.unconfirmed.add(commands);
    return new Promise((answer) => {
      const resolve = (outcome: BatchOutcome) => {
        this.unconfirmed.remove(commands);
        answer(outcome);
      };
      this.#queue.push({ commands, dropAtMs: performance.now() + this.#options.deadlineMs, resolve });
      if (!this.#isSending) void this.#sendQueue();
    });
  }

  /** Never rejects: neither does runOn. */
  async #sendQueue(): Promise<void> {
    this.#isSending = true;
    for (let group = this.#takeGroup(); group.length > 0; group = this.#takeGroup()) await this.#sendGroup(group);
    this.#isSending = false;
  }

  #takeGroup(): QueuedBatch[] {
    const nowMs = performance.now();
    const group: QueuedBatch[] = [];
    let size = 0;
    let taken = 0;
    for (const batch of this.#queue) {
      if (size >= MAX_GROUP_COMMANDS) break;
      taken++;
      if (batch.dropAtMs <= nowMs) {
        batch.resolve(unavailable("Redis was too slow to be asked; nothing was executed"));
        continue;
      }
      group.push(batch);
      size += batch.commands.length;
    }
    this.#queue = this.#queue.slice(taken);
    return group;
  }

  async #sendGroup(group: readonly QueuedBatch[]): Promise<void> {
    const { connection, replicas, waitMs, serverId } = this.#options;
    const proof = proofFromNow(serverId());
    const wait = { name: "WAIT", args: [String(replicas), String(waitMs)] };
    const outcome = await runOn(connection, [...group.flatMap(({ commands }) => commands), PROOF_COMMAND, wait]);
    const refused = outcome.kind === "unavailable" || acknowledgedBy(outcome.replies.at(-1)) < replicas;
    this.#lastProof = refused ? undefined : proof;
    if (outcome.kind === "unavailable") {
      for (const { resolve } of group) resolve(outcome);
      return;
    }
    let at = 0;
    for (const { commands, resolve } of group) {
      const replies = outcome.replies.slice(at, at + commands.length);
      at += commands.length;
      resolve(refused ? notReplicated(replicas, waitMs) : { kind: "replies", replies });
    }
  }
}

function proofFromNow(server: string | undefined): ReplicationProof | undefined {
  if (server === undefined) return undefined;
  const startMs = performance.now();
  const startTimeMs = Date.now();
  return { server, ageMs: () => Math.max(performance.now() - startMs, Date.now() - startTimeMs) };
}

/** WAIT answers with the number of replicas; if it fails, nobody knows of any. */
function acknowledgedBy(reply: RedisReply | undefined): number {
  return typeof reply === "string" ? Number(reply) : 0;
}

function notReplicated(replicas: number, waitMs: number): BatchOutcome {
  return {
    kind: "unavailable",
    message: `NOREPLICAS executed, but not acknowledged by ${replicas} replica(s) within ${waitMs} ms; a failover may lose it; try again`,
  };
}

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
