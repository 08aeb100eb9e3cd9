import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { AbstractConnector, type RedisOptions } from "ioredis";
import type { Logger } from "pino";
import type { RedisRestConfig } from "../config.ts";
import { killLostScripts } from "./busy-scripts.ts";
import { type BatchOutcome, RedisConnection } from "./redis-connection.ts";
import { PROOF_COMMAND } from "./replicated-writer.ts";
import { isSame, type PrimaryLocator, Sentinels, type ServerAddress } from "./sentinels.ts";

/** Redis cannot be used as it is; the message is one line for the operator. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** A connection that follows the primary. */
export interface PrimaryConnection {
  readonly connection: RedisConnection;
  /** Redis's `run_id` of the server that it leads to now; each start of a server has its own. Undefined while not known. */
  readonly serverId: () => string | undefined;
}

/** Long enough for a failover in progress to finish (down-after 5 s and an election). */
const START_DEADLINE_MS = 10_000;

/** The sentinels that the configuration names, to be closed by the caller; undefined when it names the primary itself. */
export function askSentinels({ redis, deadlineMs }: RedisRestConfig): Sentinels | undefined {
  const { sentinels, masterName } = redis;
  return sentinels.length === 0 ? undefined : new Sentinels({ addresses: sentinels, masterName, deadlineMs });
}

/**
 * Connects to the primary, and follows it for as long as the connection is used. Throws StartError if no server replies within
 * START_DEADLINE_MS, or if it is a replica or a Redis Cluster node.
 */
export async function connectPrimary(
  config: RedisRestConfig,
  log: Logger,
  sentinels: Sentinels | undefined,
): Promise<PrimaryConnection> {
  const route = sentinels === undefined ? {} : { Connector: connectorTo(sentinels, config.redis.tls) };
  const connection = RedisConnection.to(config.redis, config.deadlineMs, route);
  const { client } = connection;
  if (config.killScripts) killLostScripts(connection, log);
  let lastError = "no reply";
  // Only the message: an error of ioredis carries its command, and that of a login the password.
  client.on("error", (error: Error) => {
    lastError = error.message;
  });
  // When the primary has moved there is no reason to wait before dialling.
  let hasMoved = false;
  const dialIfMoved = () => {
    if (!hasMoved || client.status !== "reconnecting") return;
    hasMoved = false;
    client.connect().catch(() => undefined);
  };
  client.on("reconnecting", dialIfMoved);
  sentinels?.follow(() => {
    hasMoved = true;
    dialIfMoved();
  });
  let wasReady = false;
  client.on("ready", () => {
    wasReady = true;
    hasMoved = false;
    log.info("connected to the primary");
  });
  let serverId: string | undefined;
  const learnServerId = async () => {
    serverId = runIdIn(await connection.run([{ name: "INFO", args: ["server"] }])) ?? serverId;
  };
  client.on("ready", () => void learnServerId());
  client.on("close", () => {
    serverId = undefined;
    if (wasReady) log.warn({ lastError }, "lost the primary");
    wasReady = false;
  });
  try {
    // After a failed attempt ioredis tries again; "ready" comes when one succeeds.
    client.connect().catch(() => undefined);
    await once(client, "ready", { signal: AbortSignal.timeout(START_DEADLINE_MS) }).catch(() => {
      throw new StartError(`Redis at ${placeOf(config)} can't be reached: ${lastError}`);
    });
    await refuseUnfit(connection, placeOf(config));
    await learnServerId();
    return { connection, serverId: () => serverId };
  } catch (error) {
    client.disconnect();
    throw error;
  }
}

function runIdIn(outcome: BatchOutcome): string | undefined {
  return outcome.kind === "replies" ? /^run_id:(\w+)\r?$/m.exec(String(outcome.replies[0]))?.[1] : undefined;
}

/**
 * Refuses a Redis user who may not send the commands of WRITE_REPLICAS' proofs: each proof would fail as if the replicas did not
 * acknowledge it.
 */
export async function refuseWithoutProofs({ connection, serverId }: PrimaryConnection): Promise<void> {
  const outcome = await connection.run([PROOF_COMMAND, { name: "WAIT", args: ["0", "1"] }]);
  const refusal = outcome.kind === "replies" ? outcome.replies.find((reply) => reply instanceof Error) : undefined;
  const why = refusal instanceof Error ? refusal.message : "INFO does not tell run_id";
  if (refusal === undefined && (serverId() !== undefined || outcome.kind === "unavailable")) return;
  throw new StartError(
    `WRITE_REPLICAS needs a Redis user that may call INFO, WAIT, and PUBLISH to the channel ${String(PROOF_COMMAND.args[0])}: ${why}`,
  );
}

/** Refuses a server that accepts connections but cannot be served from. */
async function refuseUnfit(connection: RedisConnection, place: string): Promise<void> {
  const outcome = await connection.run([
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

/** A connection that has ended sends nothing more; a silent one would not confirm its end. */
const NO_GRACE_MS = 0;

/**
 * Lets ioredis dial the current primary whenever its connection has ended. When another server becomes the primary, a
 * connection to the old one ends at once, even while it is being made or its server is silent.
 */
function connectorTo(locator: PrimaryLocator, tls: boolean): Connector {
  return class PrimaryConnector extends AbstractConnector {
    #leadsTo: ServerAddress | undefined;

    constructor() {
      super(NO_GRACE_MS);
      locator.follow(() => {
        if (this.#leadsTo !== undefined && !isSame(this.#leadsTo, locator.primary)) this.stream?.destroy();
      });
    }

    /** Sentinels may name a server that is not the primary yet, or not any more. */
    override check({ role }: { readonly role?: string }): boolean {
      return role === undefined || role === "master";
    }

    /** Rejects only if the locator is closed: after a rejection ioredis never dials again. */
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
