import { Command, Redis, type RedisOptions } from "ioredis";
import type { RedisLocation } from "../config.ts";

/** A command as it goes to Redis. The name is in upper case; arguments may be any bytes. */
export interface RedisCommand {
  readonly name: string;
  readonly args: readonly (string | Buffer)[];
  /** What the request may still take, one object for all of its commands; without it replies are not bounded. */
  readonly limit?: ReplyLimit;
}

/** What becomes of a reply: it is kept, dropped as it comes, or too much has been dropped and the connection must end. */
export type ReplyVerdict = "keep" | "drop" | "cut";

/** What the replies to one request may take. */
export interface ReplyLimit {
  /** Nothing more is kept: what has not been sent to Redis need not be. */
  readonly isOver: boolean;
  /** Decides about a reply of so many bytes that has come. */
  take(bytes: number): ReplyVerdict;
  /** One reply had more than MAX_REPLY_BYTES, and the connection was ended before it was whole. */
  refuseReply(): void;
  /** The limit to ask another server with; what this one still says is dropped. */
  askAgain(): ReplyLimit;
}

/**
 * A reply as Redis gave it: a Buffer is a string of either kind, a `string` is the digits of an integer (Redis integers
 * have 64 bits, a JavaScript number has 53), null is either nil, an Error is an error reply.
 */
export type RedisReply = null | string | Buffer | Error | readonly RedisReply[];

/** What became of a batch. `unavailable`: ask again later; what was asked may or may not have happened. */
export type BatchOutcome =
  | { readonly kind: "replies"; readonly replies: readonly RedisReply[] }
  | { readonly kind: "unavailable"; readonly message: string };

/** Anything that can be asked a batch of commands: one connection, or a policy over several. It does not reject. */
export type RunBatch = (commands: readonly RedisCommand[]) => Promise<BatchOutcome>;

/** What one reply may have before the connection is ended: four times the largest answer that may be allowed. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;

/** What an array's item costs besides its own bytes. */
const ITEM_BYTES = 16;

const RECONNECT_STEP_MS = 50;
const RECONNECT_MAX_MS = 500;

/**
 * Error replies that speak about the server's state and not about the command: the same command will be answered when
 * the server has loaded, been replaced, or been told who its primary is.
 */
const SERVER_STATE = /^(READONLY|LOADING|MASTERDOWN|NOREPLICAS|BUSY|CLUSTERDOWN) /;

/** The outcome for a caller who may try again; its error has Redis's generic code. */
export function unavailable(why: string): BatchOutcome {
  return { kind: "unavailable", message: `ERR ${why}; try again` };
}

/**
 * Opens a connection that comes back by itself and never queues: while it is down every batch is `unavailable` at once,
 * and a server that is silent for `deadlineMs` with commands waiting is left and dialled again. `route` says what is
 * dialled, if not the location's host and port.
 */
export function openConnection(
  location: RedisLocation,
  deadlineMs: number,
  route: Pick<RedisOptions, "Connector"> = {},
): Redis {
  const { host, port, tls, username, password, database } = location;
  const redis = new Redis({
    ...connectionOptions(deadlineMs),
    host,
    port,
    ...(tls ? { tls: {} } : {}),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    db: database,
    ...route,
  });
  boundReplies(redis);
  return redis;
}

/** Opens such a connection to a server that has neither users nor databases: a sentinel. */
export function openSentinelConnection(address: { host: string; port: number }, deadlineMs: number): Redis {
  return new Redis({ ...connectionOptions(deadlineMs), ...address, enableReadyCheck: false });
}

function connectionOptions(deadlineMs: number) {
  return {
    protocol: 2,
    stringNumbers: true,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: deadlineMs,
    socketTimeout: deadlineMs,
    retryStrategy: reconnectDelayMs,
    reconnectOnError: (error: Error) => error.message.startsWith("READONLY "),
  } as const;
}

/** Where the replies of a connection are: Redis gives them in the order of the commands. */
interface ReplyMeter {
  sent: number;
  replied: number;
  /** The reply that was under way had too many bytes. */
  isCut: boolean;
  /** When the connection was last lost while the reply to a script was due, by performance.now(). */
  lostScriptAtMs: number;
  /** What Redis says while the connection can't be used because a script keeps it busy. */
  busy: string | undefined;
}

const METERS = new WeakMap<Redis, ReplyMeter>();

/** These run for as long as their caller's script wants. */
const RUNS_SCRIPT = /^(EVAL|EVALSHA|FCALL)(_RO)?$/;

/** Whether Redis runs a script and so nothing else. */
export function isBusy(errorReply: string): boolean {
  return errorReply.startsWith("BUSY ");
}

/** When a connection was last lost while the reply to a script was due; -Infinity if it never was. */
export function lostScriptAtMs(redis: Redis): number {
  return meterOf(redis).lostScriptAtMs;
}

function meterOf(redis: Redis): ReplyMeter {
  const known = METERS.get(redis);
  if (known !== undefined) return known;
  const meter = { sent: 0, replied: 0, isCut: false, lostScriptAtMs: Number.NEGATIVE_INFINITY, busy: undefined };
  METERS.set(redis, meter);
  return meter;
}

/**
 * Keeps the connection's meter, and ends the connection on which a single reply does not end: nothing else can stop it, and
 * all of it would be kept.
 */
function boundReplies(redis: Redis): void {
  redis.on("error", ({ message }: Error) => {
    meterOf(redis).busy = isBusy(message) ? message : undefined;
  });
  redis.on("ready", () => {
    meterOf(redis).busy = undefined;
  });
  redis.on("connect", () => {
    const { stream } = redis;
    const meter = meterOf(redis);
    Object.assign(meter, { sent: 0, replied: 0, isCut: false });
    let replied = 0;
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes = meter.replied === replied ? bytes + chunk.length : chunk.length;
      replied = meter.replied;
      if (bytes <= MAX_REPLY_BYTES) return;
      meter.isCut = true;
      stream.destroy(new Error("a reply is too large"));
    });
  });
}

/** Sends the commands together, in their order, and collects the replies. */
export async function runOn(redis: Redis, commands: readonly RedisCommand[]): Promise<BatchOutcome> {
  const meter = meterOf(redis);
  if (redis.status !== "ready") {
    return meter.busy === undefined
      ? unavailable("Redis is not reachable")
      : { kind: "unavailable", message: meter.busy };
  }
  const { stream } = redis;
  // One write for all that is asked in one turn of the event loop, by whichever callers: a write each costs twice as much.
  if (stream.writableCorked === 0) {
    stream.cork();
    setImmediate(() => stream.uncork());
  }
  const first = meter.sent;
  meter.sent += commands.length;
  let limit = commands[0]?.limit;
  let bounded = boundedBy(limit, meter, stream);
  const pending = commands.map((asked) => {
    const command = new ReadyCommand(asked.name, asked.args);
    redis.sendCommand(command);
    if (asked.limit !== limit) {
      limit = asked.limit;
      bounded = boundedBy(limit, meter, stream);
    }
    return (command.promise as Promise<RedisReply>).then(bounded.onReply, bounded.onError);
  });
  try {
    const replies = await Promise.all(pending);
    const refusal = replies.find((reply) => reply instanceof Error && SERVER_STATE.test(reply.message));
    if (refusal instanceof Error) return { kind: "unavailable", message: refusal.message };
    return { kind: "replies", replies };
  } catch {
    const due = commands[meter.replied - first];
    if (meter.isCut) due?.limit?.refuseReply();
    // Of a transaction EXEC is what runs.
    else if (due !== undefined && commands.some(({ name }) => RUNS_SCRIPT.test(name))) {
      meter.lostScriptAtMs = performance.now();
    }
    return unavailable("the connection to Redis was lost before the reply; the command may have been executed");
  }
}

/** What to do with each reply to the commands of one request. */
function boundedBy(limit: ReplyLimit | undefined, meter: ReplyMeter, stream: Redis["stream"]) {
  function onReply(reply: RedisReply): RedisReply {
    meter.replied++;
    const verdict = limit === undefined ? "keep" : limit.take(sizeOf(reply));
    if (verdict === "cut") stream.destroy(new Error("replies are too large"));
    return verdict === "keep" ? reply : null;
  }
  return { onReply, onError: (error: unknown) => onReply(asReply(error)) };
}

/** An error reply is a reply; anything else that rejects a command is the connection's end. */
function asReply(error: unknown): RedisReply {
  if (error instanceof Error && error.name === "ReplyError") return new Error(error.message);
  throw error;
}

function sizeOf(reply: RedisReply): number {
  if (reply === null) return 0;
  if (reply instanceof Error) return reply.message.length;
  if (typeof reply === "string" || Buffer.isBuffer(reply)) return reply.length;
  return reply.reduce<number>((bytes, item) => bytes + ITEM_BYTES + sizeOf(item), 0);
}

function reconnectDelayMs(attempt: number): number {
  return Math.min(attempt * RECONNECT_STEP_MS, RECONNECT_MAX_MS);
}

/** Bulk strings that are shorter have their header at hand: a session's key or a token is. */
const READY_HEADERS = 256;

const HEADERS: readonly string[] = Array.from({ length: READY_HEADERS }, (_, length) => header(length));

/**
 * A command whose arguments are strings and bytes already. ioredis would flatten them, look at each, and join them from
 * more pieces: for 400 keys 48 us and 61 us of flattening, where this takes 26.
 */
export class ReadyCommand extends Command {
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
      text += HEADERS[length] ?? header(length);
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

/** What stands before a bulk string, with the end of whatever came before it. */
function header(length: number): string {
  return `\r\n$${length}\r\n`;
}

/** What the batch comes to, or `unavailable` when it has come to nothing within `deadlineMs`. */
export function withinDeadline(pending: Promise<BatchOutcome>, deadlineMs: number): Promise<BatchOutcome> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      resolve(unavailable(`Redis did not answer within ${deadlineMs} ms; the command may have been executed`));
    }, deadlineMs);
    pending.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}
