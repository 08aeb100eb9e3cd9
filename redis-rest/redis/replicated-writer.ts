import {
  type BatchOutcome,
  type RedisCommand,
  type RedisReply,
  type RunBatch,
  unavailable,
} from "./redis-connection.ts";

export interface ReplicatedWriterOptions {
  /** Runs a batch on a connection of its own: WAIT delays whatever comes after it. */
  readonly runAtPrimary: RunBatch;
  /** Replicas that must acknowledge a write before its caller gets the reply. */
  readonly replicas: number;
  /** How long the replicas may take. */
  readonly waitMs: number;
  /** A batch that waited for so long is dropped: its caller already has an error. */
  readonly deadlineMs: number;
  /** The server that the connection leads to now; undefined while not known. */
  readonly serverId: () => string | undefined;
}

/** Enough replicas have acknowledged a write that was sent to the server after a certain time. */
export interface ReplicationProof {
  readonly server: string;
  /** The time since then, by the clock that says more: one of them stops while a machine is suspended. */
  ageMs(): number;
}

interface QueuedBatch {
  readonly commands: readonly RedisCommand[];
  readonly dropAtMs: number;
  readonly resolve: (outcome: BatchOutcome) => void;
}

/** Few enough that executing them takes little of the deadline. */
const MAX_GROUP_COMMANDS = 4_096;

/**
 * Ends each group: it is replicated, so even a group that changed nothing has something new for the replicas to acknowledge.
 * WAIT alone counts what they acknowledged earlier. It leaves nothing in the database.
 */
export const PROOF_COMMAND: RedisCommand = { name: "PUBLISH", args: ["artoria:proof", ""] };

/**
 * Runs batches whose effects must be on `replicas` replicas before the callers get their replies. Batches that arrive during a
 * WAIT form a group and are sent with a single WAIT: a busy server pays one round trip to the replicas for a group, not for
 * each batch. If too few replicas acknowledge in time, the batch is `unavailable` with Redis's code NOREPLICAS, although the
 * primary has executed it.
 */
export class ReplicatedWriter {
  readonly #options: ReplicatedWriterOptions;
  #queue: QueuedBatch[] = [];
  #isSending = false;
  #lastProof: ReplicationProof | undefined;
  #acknowledgedBy = 0;
  /** The writes that are queued or wait for the replicas. */
  readonly unconfirmed = new UnconfirmedWrites();

  constructor(options: ReplicatedWriterOptions) {
    this.#options = options;
  }

  /** Of the last group; undefined if it failed, since no replica may have its writes. */
  get lastProof(): ReplicationProof | undefined {
    return this.#lastProof;
  }

  /** How many replicas acknowledged the last group in time. */
  get acknowledgedBy(): number {
    return this.#acknowledgedBy;
  }

  /** An empty batch has no replies and asks only for a proof. */
  run(commands: readonly RedisCommand[]): Promise<BatchOutcome> {
    this.unconfirmed.add(commands);
    return new Promise((done) => {
      const resolve = (outcome: BatchOutcome) => {
        this.unconfirmed.remove(commands);
        done(outcome);
      };
      this.#queue.push({ commands, dropAtMs: performance.now() + this.#options.deadlineMs, resolve });
      if (!this.#isSending) void this.#sendQueue();
    });
  }

  /** Does not reject. */
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
    const { runAtPrimary, replicas, waitMs, serverId } = this.#options;
    const proof = proofFromNow(serverId());
    const wait = { name: "WAIT", args: [String(replicas), String(waitMs)] };
    const outcome = await runAtPrimary([...group.flatMap(({ commands }) => commands), PROOF_COMMAND, wait]);
    this.#acknowledgedBy = outcome.kind === "unavailable" ? 0 : acknowledgedBy(outcome.replies.at(-1));
    const refused = this.#acknowledgedBy < replicas;
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

/** The reply to WAIT is the number of replicas; an error counts as none. */
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
/** Their replies depend on keys that they do not name. */
const WHOLE_DATABASE: ReadonlySet<string> = new Set(["KEYS", "SCAN", "DBSIZE", "RANDOMKEY", "FLUSHDB"]);

const MAX_KEY_LENGTH = 256;

/**
 * Writes that too few replicas have acknowledged yet. A read that may show one of them must wait for the acknowledgement: a
 * failover could undo the write. Any argument of a command may be a key; of a script only the keys that it declares.
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

  /** Whether the replies to these commands may show such a write. */
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

/** Values may be long: two with the same beginning count as the same. */
function keyOf(word: string | Buffer): string {
  return String(word.length > MAX_KEY_LENGTH ? word.slice(0, MAX_KEY_LENGTH) : word);
}

function wordsOf({ name, args }: RedisCommand): RedisCommand["args"] {
  return SCRIPT_COMMANDS.has(name) ? args.slice(2, 2 + Number(args[1])) : args;
}
