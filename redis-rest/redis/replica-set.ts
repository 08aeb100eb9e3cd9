import {
  type BatchOutcome,
  RedisConnection,
  type RedisLocation,
  type RedisReply,
  type RunBatch,
} from "./redis-connection.ts";

/** A replica, and how far it is behind. */
export interface Replica {
  readonly name: string;
  readonly run: RunBatch;
  /** Every write that had a reply before this time can be read here; -Infinity if not known. */
  readonly freshAsOfMs: number;
  readonly lagBytes: number;
}

interface Member extends Replica {
  readonly connection: RedisConnection;
  isBeingAsked: boolean;
  freshAsOfMs: number;
  lagBytes: number;
}

export interface ReplicaSetOptions {
  readonly location: RedisLocation;
  readonly deadlineMs: number;
  readonly askPrimary: RunBatch;
  /** Called with each connection before it is used. */
  readonly onOpen: (connection: RedisConnection) => void;
  /** Milliseconds of a clock that does not jump. */
  readonly nowMs: () => number;
}

const POLL_MS = 250;

/** When no replica has a wanted write they are measured again, but no more often than this. */
const MIN_POLL_MS = 5;

/**
 * A replica that may be further behind is not read. So with REPLICA_READS a revoked session is refused everywhere after this
 * time (docs/architecture.md, "Sessions").
 */
const MAX_REPLICA_LAG_MS = 1_000;

/**
 * The primary's replicas. The primary itself names them, with and without Sentinel. They are measured four times a second, and
 * when none has a wanted write.
 */
export class ReplicaSet {
  readonly #options: ReplicaSetOptions;
  readonly #offsets = new PrimaryOffsets();
  readonly #members = new Map<string, Member>();
  readonly #timer: NodeJS.Timeout;
  #turn = 0;
  #isPolling = false;
  #polledAtMs = 0;

  constructor(options: ReplicaSetOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.poll(), POLL_MS);
  }

  /** Every replica that the primary knows, readable or not. */
  get replicas(): readonly Replica[] {
    return [...this.#members.values()];
  }

  /** The next replica in turn that is within MAX_REPLICA_LAG_MS and has everything written before `notBeforeMs`. */
  pick(notBeforeMs: number): Replica | undefined {
    const nowMs = this.#options.nowMs();
    const oldestMs = Math.max(notBeforeMs, nowMs - MAX_REPLICA_LAG_MS);
    const readable = this.replicas.filter(({ freshAsOfMs }) => freshAsOfMs >= oldestMs);
    if (readable.length === 0 && nowMs - this.#polledAtMs >= MIN_POLL_MS) void this.poll();
    return readable[this.#turn++ % readable.length];
  }

  /** Measures now. Does not reject; a replica that does not reply gets no fresher. */
  async poll(): Promise<void> {
    if (this.#isPolling) return;
    this.#isPolling = true;
    const askedAtMs = this.#options.nowMs();
    this.#polledAtMs = askedAtMs;
    const role = parsePrimaryRole(await this.#options.askPrimary([ROLE_COMMAND]));
    this.#isPolling = false;
    if (role === null) return;
    this.#offsets.record(askedAtMs, role.offset);
    this.#follow(role);
    await Promise.all([...this.#members.values()].map((member) => this.#measure(member)));
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { connection } of this.#members.values()) connection.client.disconnect();
    this.#members.clear();
  }

  #follow({ replicas }: PrimaryRole): void {
    const current = new Map(replicas.map((address) => [`${address.host}:${address.port}`, address]));
    for (const [name, { connection }] of this.#members) {
      if (current.has(name)) continue;
      connection.client.disconnect();
      this.#members.delete(name);
    }
    for (const [name, address] of current) {
      if (!this.#members.has(name)) this.#members.set(name, this.#open(name, address));
    }
  }

  #open(name: string, address: { readonly host: string; readonly port: number }): Member {
    const { location, deadlineMs } = this.#options;
    const connection = RedisConnection.to({ ...location, ...address, sentinels: [] }, deadlineMs);
    const member: Member = {
      name,
      connection,
      run: connection.run,
      freshAsOfMs: Number.NEGATIVE_INFINITY,
      lagBytes: 0,
      isBeingAsked: false,
    };
    // The next server at this address may be another one, or the same one with less data.
    connection.client.on("close", () => {
      member.freshAsOfMs = Number.NEGATIVE_INFINITY;
    });
    connection.client.on("error", () => undefined);
    this.#options.onOpen(connection);
    connection.client.connect().catch(() => undefined);
    return member;
  }

  async #measure(member: Member): Promise<void> {
    if (member.isBeingAsked) return;
    member.isBeingAsked = true;
    const offset = parseReplicaOffset(await member.run([ROLE_COMMAND]));
    member.isBeingAsked = false;
    if (offset === null) return;
    member.freshAsOfMs = Math.max(member.freshAsOfMs, this.#offsets.freshAsOfMs(offset));
    member.lagBytes = this.#offsets.lagBytes(offset);
  }
}

/** A reading of the primary: at `atMs`, and no later, its replication stream had `offset` bytes. */
interface Sample {
  readonly atMs: number;
  readonly offset: number;
}

/** 16 s at four samples a second; a replica that far behind is not read anyway. */
const MAX_SAMPLES = 64;

/**
 * Converts a replica's position in the primary's replication stream into time. Bytes do not say how old a reply may be; a
 * history of the primary's own positions does.
 */
export class PrimaryOffsets {
  #samples: Sample[] = [];

  /** `atMs` is the time before the primary was asked: until then no write beyond `offset` had a reply. */
  record(atMs: number, offset: number): void {
    this.#samples.push({ atMs, offset });
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
  }

  /**
   * The newest time whose writes a replica at `offset` certainly has; -Infinity if no sample says so. A write that had a reply
   * before this time can be read at that replica.
   */
  freshAsOfMs(offset: number): number {
    return this.#samples.findLast((sample) => sample.offset <= offset)?.atMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Bytes that a replica at `offset` has still to apply, as of the last sample. */
  lagBytes(offset: number): number {
    return Math.max(0, (this.#samples.at(-1)?.offset ?? offset) - offset);
  }
}

/** The reply of a primary to ROLE: its position, and its connected replicas. */
interface PrimaryRole {
  readonly offset: number;
  readonly replicas: readonly { readonly host: string; readonly port: number }[];
}

const ROLE_COMMAND = { name: "ROLE", args: [] };

/** Parses `["master", offset, [[host, port, acknowledged], ...]]`; null for anything else. */
function parsePrimaryRole(outcome: BatchOutcome): PrimaryRole | null {
  const [role, offset, replicas] = firstReply(outcome);
  if (textOf(role) !== "master" || !Array.isArray(replicas)) return null;
  return {
    offset: Number(textOf(offset)),
    replicas: replicas
      .filter(Array.isArray)
      .map(([host, port]) => ({ host: textOf(host), port: Number(textOf(port)) })),
  };
}

/**
 * Parses `["slave", host, port, state, offset]` into the offset it has applied; null when it is not connected to its
 * primary, or no replica at all.
 */
function parseReplicaOffset(outcome: BatchOutcome): number | null {
  const [role, , , state, offset] = firstReply(outcome);
  return textOf(role) === "slave" && textOf(state) === "connected" ? Number(textOf(offset)) : null;
}

function firstReply(outcome: BatchOutcome): readonly RedisReply[] {
  const reply = outcome.kind === "replies" ? outcome.replies[0] : undefined;
  return Array.isArray(reply) ? reply : [];
}

function textOf(reply: RedisReply | undefined): string {
  return typeof reply === "string" || Buffer.isBuffer(reply) ? reply.toString() : "";
}
