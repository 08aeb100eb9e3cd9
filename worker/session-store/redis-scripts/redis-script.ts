/** A Lua script. Every one is idempotent: to run it again because its answer was lost leaves the same state. */
export interface RedisScript {
  /** Runs as EVALSHA_RO, which redis-rest may send to a replica. */
  readonly readOnly: boolean;
  readonly source: string;
}
