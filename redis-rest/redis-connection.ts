import { Redis, type RedisOptions } from "ioredis";
import type { RedisLocation } from "./config.ts";
import { ReadyCommand } from "./ready-command.ts";

/** A command as it goes to Redis. The name is in upper case; arguments may be any bytes. */
export interface RedisCommand {
  readonly name: string;
  readonly args: readonly (string | Buffer)[];
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
  return new Redis({
    ...connectionOptions(deadlineMs),
    host,
    port,
    ...(tls ? { tls: {} } : {}),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    db: database,
    ...route,
  });
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

/** Sends the commands together, in their order, and collects the replies. */
export async function runOn(redis: Redis, commands: readonly RedisCommand[]): Promise<BatchOutcome> {
  if (redis.status !== "ready") return unavailable("Redis is not reachable");
  const { stream } = redis;
  // One write for all that is asked in one turn of the event loop, by whichever callers: a write each costs twice as much.
  if (stream.writableCorked === 0) {
    stream.cork();
    setImmediate(() => stream.uncork());
  }
  const pending = commands.map(({ name, args }) => {
    const command = new ReadyCommand(name, args);
    redis.sendCommand(command);
    return (command.promise as Promise<RedisReply>).catch(asReply);
  });
  try {
    const replies = await Promise.all(pending);
    const refusal = replies.find((reply) => reply instanceof Error && SERVER_STATE.test(reply.message));
    if (refusal instanceof Error) return { kind: "unavailable", message: refusal.message };
    return { kind: "replies", replies };
  } catch {
    return unavailable("the connection to Redis was lost before the reply; the command may have been executed");
  }
}

/** An error reply is a reply; anything else that rejects a command is the connection's end. */
function asReply(error: unknown): RedisReply {
  if (error instanceof Error && error.name === "ReplyError") return new Error(error.message);
  throw error;
}

function reconnectDelayMs(attempt: number): number {
  return Math.min(attempt * RECONNECT_STEP_MS, RECONNECT_MAX_MS);
}
