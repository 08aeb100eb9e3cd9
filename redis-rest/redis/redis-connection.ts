import { Command, Redis, type RedisOptions } from "ioredis";

/** The address of the primary, or of the sentinels that name it. */
export interface RedisLocation {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** If empty, `host` and `port` are the primary. Otherwise the sentinels name the primary, and `host` and `port` are ignored. */
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
  /** The name of the primary in the configuration of the sentinels. */
  readonly masterName: string;
}

/** A command as it goes to Redis. The name is in upper case; arguments may be any bytes. */
export interface RedisCommand {
  readonly name: string;
  readonly args: readonly (string | Buffer)[];
  /** The bytes of replies that the request may still have, one object for all of its commands; undefined: replies are not bounded. */
  readonly limit?: ReplyLimit;
}

/** What to do with a reply: keep it, drop it, or end the connection because too much has been dropped. */
export type ReplyVerdict = "keep" | "drop" | "cut";

/** How many bytes the replies to one request may have. */
export interface ReplyLimit {
  /** No more replies are kept: commands that have not been sent to Redis need not be. */
  readonly isOver: boolean;
  /** Decides about a reply of so many bytes that has arrived. */
  take(bytes: number): ReplyVerdict;
  /** A reply had more than MAX_REPLY_BYTES, and the connection was ended before the reply was complete. */
  refuseReply(): void;
  /** The limit for sending the request to another server. Later replies of this server are dropped. */
  askAgain(): ReplyLimit;
}

/**
 * A reply as Redis gave it: a Buffer is a string of either kind, a `string` is the digits of an integer (Redis integers
 * have 64 bits, a JavaScript number has 53), null is either nil, an Error is an error reply.
 */
export type RedisReply = null | string | Buffer | Error | readonly RedisReply[];

/** The outcome of a batch. `unavailable`: ask again later; the commands may or may not have been executed. */
export type BatchOutcome =
  | { readonly kind: "replies"; readonly replies: readonly RedisReply[] }
  | { readonly kind: "unavailable"; readonly message: string };

/** Sends a batch to one connection, or to several by a policy. It does not reject. */
export type RunBatch = (commands: readonly RedisCommand[]) => Promise<BatchOutcome>;

/** The outcome for a caller who may try again; its error has Redis's generic code. */
export function unavailable(why: string): BatchOutcome {
  return { kind: "unavailable", message: `ERR ${why}; try again` };
}

/** The outcome of the batch, or `unavailable` if there is none within `deadlineMs`. */
export function withinDeadline(pending: Promise<BatchOutcome>, deadlineMs: number): Promise<BatchOutcome> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      resolve(unavailable(`Redis did not answer within ${deadlineMs} ms; the command may have been executed`));
    }, deadlineMs);
    pending.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}

/** The largest reply before the connection is ended: four times the largest response that may be allowed. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;

const RECONNECT_STEP_MS = 50;
const RECONNECT_MAX_MS = 500;

/**
 * Error replies about the state of the server and not about the command: the same command will succeed when the server has
 * loaded, been replaced, or been told who its primary is.
 */
const SERVER_STATE = /^(READONLY|LOADING|MASTERDOWN|NOREPLICAS|BUSY|CLUSTERDOWN) /;

/** Commands that run a script of the caller, for as long as the script takes. */
const RUNS_SCRIPT = /^(EVAL|EVALSHA|FCALL)(_RO)?$/;

type Target = Pick<
  RedisOptions,
  "host" | "port" | "tls" | "username" | "password" | "db" | "Connector" | "enableReadyCheck"
>;

/**
 * A connection that reconnects by itself and never queues. While it is lost, every batch is `unavailable` at once. If the server
 * is silent for `deadlineMs` while commands wait, the connection is closed and dialled again.
 */
export class RedisConnection {
  /** Its events and its state; commands go through {@link run}. */
  readonly client: Redis;
  // Redis replies in the order of the commands, so two counts say which reply is due.
  #sent = 0;
  #replied = 0;
  #isReplyTooLarge = false;
  #lostScriptAtMs = Number.NEGATIVE_INFINITY;
  #busyReply: string | undefined;

  /** To a server with users and databases. `route` says what to dial, if not the location's host and port. */
  static to(location: RedisLocation, deadlineMs: number, route: Pick<RedisOptions, "Connector"> = {}): RedisConnection {
    const { host, port, tls, username, password, database } = location;
    return new RedisConnection(deadlineMs, {
      host,
      port,
      ...(tls ? { tls: {} } : {}),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      db: database,
      ...route,
    });
  }

  /** To a sentinel, which has neither users nor databases. */
  static toSentinel(address: { readonly host: string; readonly port: number }, deadlineMs: number): RedisConnection {
    return new RedisConnection(deadlineMs, { ...address, enableReadyCheck: false });
  }

  private constructor(deadlineMs: number, target: Target) {
    this.client = new Redis({
      protocol: 2,
      stringNumbers: true,
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: deadlineMs,
      socketTimeout: deadlineMs,
      retryStrategy: (attempt) => Math.min(attempt * RECONNECT_STEP_MS, RECONNECT_MAX_MS),
      reconnectOnError: (error) => error.message.startsWith("READONLY "),
      ...target,
    });
    this.client.on("error", ({ message }: Error) => {
      this.#busyReply = isBusy(message) ? message : undefined;
    });
    this.client.on("ready", () => {
      this.#busyReply = undefined;
    });
    this.client.on("connect", () => this.#boundReplies());
  }

  /** When the connection was last lost while the reply to a script was due, by performance.now(); -Infinity if never. */
  get lostScriptAtMs(): number {
    return this.#lostScriptAtMs;
  }

  /** Sends the commands together, in their order, and collects the replies. It does not reject. */
  readonly run: RunBatch = async (commands) => {
    if (this.client.status !== "ready") {
      return this.#busyReply === undefined
        ? unavailable("Redis is not reachable")
        : { kind: "unavailable", message: this.#busyReply };
    }
    const first = this.#sent;
    try {
      const replies = await Promise.all(this.#send(commands));
      const refusal = replies.find((reply) => reply instanceof Error && SERVER_STATE.test(reply.message));
      if (refusal instanceof Error) return { kind: "unavailable", message: refusal.message };
      return { kind: "replies", replies };
    } catch {
      const due = commands[this.#replied - first];
      if (this.#isReplyTooLarge) due?.limit?.refuseReply();
      // In a transaction the script runs at EXEC.
      else if (due !== undefined && commands.some(({ name }) => RUNS_SCRIPT.test(name))) {
        this.#lostScriptAtMs = performance.now();
      }
      return unavailable("the connection to Redis was lost before the reply; the command may have been executed");
    }
  };

  #send(commands: readonly RedisCommand[]): Promise<RedisReply>[] {
    const { stream } = this.client;
    // One write for the commands of all callers in one turn of the event loop: a write for each costs twice as much.
    if (stream.writableCorked === 0) {
      stream.cork();
      setImmediate(() => stream.uncork());
    }
    this.#sent += commands.length;
    let limit = commands[0]?.limit;
    let receive = this.#receiver(limit);
    return commands.map((asked) => {
      const command = new EncodedCommand(asked.name, asked.args);
      this.client.sendCommand(command);
      if (asked.limit !== limit) {
        limit = asked.limit;
        receive = this.#receiver(limit);
      }
      return (command.promise as Promise<RedisReply>).then(receive.onReply, receive.onError);
    });
  }

  /** What to do with each reply to the commands of one request. */
  #receiver(limit: ReplyLimit | undefined) {
    const { stream } = this.client;
    const onReply = (reply: RedisReply): RedisReply => {
      this.#replied++;
      const verdict = limit === undefined ? "keep" : limit.take(sizeOf(reply));
      if (verdict === "cut") stream.destroy(new Error("replies are too large"));
      return verdict === "keep" ? reply : null;
    };
    return { onReply, onError: (error: unknown) => onReply(asReply(error)) };
  }

  /** Ends the connection on which one reply is too large: nothing else stops the reply, and all of it would be kept. */
  #boundReplies(): void {
    const { stream } = this.client;
    this.#sent = 0;
    this.#replied = 0;
    this.#isReplyTooLarge = false;
    let replied = 0;
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes = this.#replied === replied ? bytes + chunk.length : chunk.length;
      replied = this.#replied;
      if (bytes <= MAX_REPLY_BYTES) return;
      this.#isReplyTooLarge = true;
      stream.destroy(new Error("a reply is too large"));
    });
  }
}

/** Whether the error means that Redis is running a script and executes nothing else. */
export function isBusy(errorReply: string): boolean {
  return errorReply.startsWith("BUSY ");
}

/** An error reply is a reply; anything else that rejects a command is the end of the connection. */
function asReply(error: unknown): RedisReply {
  if (error instanceof Error && error.name === "ReplyError") return new Error(error.message);
  throw error;
}

/** The memory of an array's item in addition to its own bytes. */
const ITEM_BYTES = 16;

function sizeOf(reply: RedisReply): number {
  if (reply === null) return 0;
  if (reply instanceof Error) return reply.message.length;
  if (typeof reply === "string" || Buffer.isBuffer(reply)) return reply.length;
  return reply.reduce<number>((bytes, item) => bytes + ITEM_BYTES + sizeOf(item), 0);
}

/** Shorter bulk strings have a header in the table below: a session's key or a token is one. */
const TABLED_LENGTHS = 256;

const BULK_HEADERS: readonly string[] = Array.from({ length: TABLED_LENGTHS }, (_, length) => bulkHeader(length));

/**
 * Encodes a command whose arguments are strings and bytes already. ioredis would flatten them, look at each, and join them
 * from more pieces: for 400 keys 48 us and 61 us of flattening, where this takes 26.
 */
class EncodedCommand extends Command {
  readonly #words: readonly (string | Buffer)[];

  constructor(name: string, args: readonly (string | Buffer)[]) {
    super(name);
    this.args = [...args];
    this.#words = [name, ...args];
  }

  /** An array of bulk strings (RESP2); text unless an argument is bytes. */
  override toWritable(): string | Buffer {
    const parts: Buffer[] = [];
    let text = `*${this.#words.length}`;
    for (const word of this.#words) {
      const length = Buffer.byteLength(word);
      text += BULK_HEADERS[length] ?? bulkHeader(length);
      if (typeof word === "string") {
        text += word;
      } else {
        parts.push(Buffer.from(text), word);
        text = "";
      }
    }
    text += "\r\n";
    return parts.length === 0 ? text : Buffer.concat([...parts, Buffer.from(text)]);
  }
}

/** The end of the line before a bulk string, and its length. */
function bulkHeader(length: number): string {
  return `\r\n$${length}\r\n`;
}
