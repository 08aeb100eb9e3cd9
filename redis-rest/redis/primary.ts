import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { AbstractConnector, type Redis, type RedisOptions } from "ioredis";
import type { Logger } from "pino";
import type { RedisRestConfig } from "../config.ts";
import { killLostScripts } from "./busy-scripts.ts";
import { type BatchOutcome, openConnection, runOn } from "./redis-connection.ts";
import { PROOF_COMMAND } from "./replicated-writer.ts";
import { isSame, type PrimaryLocator, Sentinels, type ServerAddress } from "./sentinels.ts";

/** Redis could not be used as it is; the message is one line for whoever starts the program. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** A connection that follows the primary. */
export interface PrimaryConnection {
  readonly redis: Redis;
  /** Redis's `run_id` of the server that it leads to now, another one after each start; undefined while not known. */
  readonly serverId: () => string | undefined;
}

/** Long enough for the sentinels to finish a failover that is under way (down-after 5 s and an election). */
const START_DEADLINE_MS = 10_000;

/** The sentinels that the configuration names, to be closed by the caller; undefined when it names the primary itself. */
export function askSentinels({ redis, deadlineMs }: RedisRestConfig): Sentinels | undefined {
  const { sentinels, masterName } = redis;
  return sentinels.length === 0 ? undefined : new Sentinels({ addresses: sentinels, masterName, deadlineMs });
}

/**
 * Connects to the primary, and follows it for as long as the connection is used. Throws StartError when nothing answers
 * within START_DEADLINE_MS or what answers is a Redis Cluster node.
 */
export async function connectPrimary(
  config: RedisRestConfig,
  log: Logger,
  sentinels: Sentinels | undefined,
): Promise<PrimaryConnection> {
  const route = sentinels === undefined ? {} : { Connector: connectorTo(sentinels, config.redis.tls) };
  const connection = openConnection(config.redis, config.deadlineMs, route);
  if (config.killScripts) killLostScripts(connection, log);
  let lastError = "no answer";
  // Only the message: an error of ioredis carries its command, and that of a login the password.
  connection.on("error", (error: Error) => {
    lastError = error.message;
  });
  // After a move there is no reason to wait before dialling.
  let hasMoved = false;
  const dialIfMoved = () => {
    if (!hasMoved || connection.status !== "reconnecting") return;
    hasMoved = false;
    connection.connect().catch(() => undefined);
  };
  connection.on("reconnecting", dialIfMoved);
  sentinels?.follow(() => {
    hasMoved = true;
    dialIfMoved();
  });
  let wasReady = false;
  connection.on("ready", () => {
    wasReady = true;
    hasMoved = false;
    log.info("connected to the primary");
  });
  let serverId: string | undefined;
  const learnServerId = async () => {
    serverId = runIdIn(await runOn(connection, [{ name: "INFO", args: ["server"] }])) ?? serverId;
  };
  connection.on("ready", () => void learnServerId());
  connection.on("close", () => {
    serverId = undefined;
    if (wasReady) log.warn({ lastError }, "lost the primary");
    wasReady = false;
  });
  try {
    // A first attempt that fails is not the end: "ready" comes whenever one succeeds.
    connection.connect().catch(() => undefined);
    await once(connection, "ready", { signal: AbortSignal.timeout(START_DEADLINE_MS) }).catch(() => {
      throw new StartError(`Redis at ${placeOf(config)} can't be reached: ${lastError}`);
    });
    await refuseUnfit(connection, placeOf(config));
    await learnServerId();
    return { redis: connection, serverId: () => serverId };
  } catch (error) {
    connection.disconnect();
    throw error;
  }
}

function runIdIn(outcome: BatchOutcome): string | undefined {
  return outcome.kind === "replies" ? /^run_id:(\w+)\r?$/m.exec(String(outcome.replies[0]))?.[1] : undefined;
}

/**
 * Refuses a user who may not do what the proofs of WRITE_REPLICAS take, which would otherwise look like replicas that do
 * not acknowledge.
 */
export async function refuseWithoutProofs({ redis, serverId }: PrimaryConnection): Promise<void> {
  const outcome = await runOn(redis, [PROOF_COMMAND, { name: "WAIT", args: ["0", "1"] }]);
  const refusal = outcome.kind === "replies" ? outcome.replies.find((reply) => reply instanceof Error) : undefined;
  const why = refusal instanceof Error ? refusal.message : "INFO does not tell run_id";
  if (refusal === undefined && (serverId() !== undefined || outcome.kind === "unavailable")) return;
  throw new StartError(
    `WRITE_REPLICAS needs a Redis user that may call INFO, WAIT, and PUBLISH to the channel ${String(PROOF_COMMAND.args[0])}: ${why}`,
  );
}

/** Refuses what could be connected to but not be served from. */
async function refuseUnfit(connection: Redis, place: string): Promise<void> {
  const outcome = await runOn(connection, [
    { name: "INFO", args: ["cluster"] },
    { name: "INFO", args: ["replication"] },
  ]);
  const info = outcome.kind === "replies" ? outcome.replies.join("\n") : "";
  if (/^cluster_enabled:1\r?$/m.test(info)) {
    throw new StartError(
      `Redis at ${place} is a Redis Cluster node, which redis-rest does not serve: scripts touch keys of several slots. Use a primary with replicas, and Sentinel for failover`,
    );
  }
  if (/^role:slave\r?$/m.test(info)) {
    throw new StartError(`Redis at ${place} is a replica; REDIS_URL must be the primary's, which knows its replicas`);
  }
}

function placeOf({ redis }: RedisRestConfig): string {
  if (redis.sentinels.length === 0) return `${redis.host}:${redis.port}`;
  return `${redis.masterName} of sentinels ${redis.sentinels.map(({ host, port }) => `${host}:${port}`).join(", ")}`;
}

type Connector = NonNullable<RedisOptions["Connector"]>;

/** An ended connection has nothing left to say; a silent one would not even confirm its end. */
const NO_GRACE_MS = 0;

/**
 * How ioredis opens a connection to the primary of now, each time that the last one has ended. When another server becomes
 * the primary, whatever leads elsewhere ends at once: connections that are being made, and those whose server is silent.
 */
export function connectorTo(locator: PrimaryLocator, tls: boolean): Connector {
  return class PrimaryConnector extends AbstractConnector {
    #leadsTo: ServerAddress | undefined;

    constructor() {
      super(NO_GRACE_MS);
      locator.follow(() => {
        if (this.#leadsTo !== undefined && !isSame(this.#leadsTo, locator.primary)) this.stream?.destroy();
      });
    }

    /** Sentinels may name a server that does not know yet, or no longer, that it is the primary. */
    override check({ role }: { readonly role?: string }): boolean {
      return role === undefined || role === "master";
    }

    /** Rejects only when the locator is closed: ioredis never opens a connection again after a rejection. */
    override async connect(emit: (type: string, problem: Error) => void) {
      const address = await locator.locate((problem) => emit("error", problem));
      this.#leadsTo = address;
      const stream = tls ? connectTls(address) : connectTcp(address);
      stream.once("error", (error) => {
        this.firstError = error;
      });
      this.stream = stream;
      return stream;
    }

    override disconnect(): void {
      this.stream?.destroy();
    }
  };
}
