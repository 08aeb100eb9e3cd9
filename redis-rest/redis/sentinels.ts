import { setTimeout as pause } from "node:timers/promises";
import { type BatchOutcome, RedisConnection, type RedisReply } from "./redis-connection.ts";

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** Where redis-rest finds the current primary. */
export interface PrimaryLocator {
  /** Undefined until it is known. */
  readonly primary: ServerAddress | undefined;
  /** Resolves when it is known; `onProblem` gets the reason why it takes long. Rejects only if the locator has been closed. */
  locate(onProblem: (problem: Error) => void): Promise<ServerAddress>;
  /** Calls `onMove` whenever another server has become the primary. */
  follow(onMove: () => void): void;
  close(): void;
}

/** The last reply of one sentinel. */
interface Report {
  readonly address: ServerAddress;
  /** Grows with every failover, whichever sentinel led it. */
  readonly epoch: number;
  readonly atMs: number;
}

interface Sentinel {
  readonly connection: RedisConnection;
  /** Named by the configuration, and so never removed. */
  readonly isConfigured: boolean;
  report: Report | undefined;
  isBeingAsked: boolean;
}

export interface SentinelsOptions {
  readonly addresses: readonly ServerAddress[];
  /** The name of the primary in the configuration of the sentinels. */
  readonly masterName: string;
  /** After so long without a reply, a sentinel is dialled again. */
  readonly deadlineMs: number;
}

/** How often each sentinel is asked. */
export const POLL_MS = 250;

/** How often a caller that waits for the first report looks again. */
const LOOK_AGAIN_MS = 20;

/** A report older than this no longer counts: the sentinel may have been replaced by a new one, whose epoch is 0. */
const REPORT_LIFE_MS = 10_000;

/** Each sentinel is asked so often for the other sentinels that it knows: the configuration need not list all of them. */
const LEARN_EVERY_POLLS = 40;

/** The most sentinels, more than anybody runs. Each needs a connection, and a lying sentinel could name any number. */
const MAX_SENTINELS = 32;

/**
 * Asks all sentinels four times a second who the primary is, and believes the report of the newest failover: a sentinel that
 * is partitioned with the old primary still names the old one. It asks, instead of subscribing to +switch-master: a message
 * may be lost, comes before or after the primary's connections end, and says nothing that the next reply does not say.
 * ioredis's own Sentinel mode subscribes, and a message during its search for the new primary ends its connection for good.
 */
export class Sentinels implements PrimaryLocator {
  readonly #options: SentinelsOptions;
  readonly #sentinels = new Map<string, Sentinel>();
  readonly #followers: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  #primary: ServerAddress | undefined;
  #problem = "no reply yet";
  #polls = 0;
  #isClosed = false;

  constructor(options: SentinelsOptions) {
    this.#options = options;
    for (const address of options.addresses) this.#add(address, true);
    this.#timer = setInterval(() => this.#poll(), POLL_MS);
  }

  get primary(): ServerAddress | undefined {
    return this.#primary;
  }

  async locate(onProblem: (problem: Error) => void): Promise<ServerAddress> {
    for (let reportAtMs = performance.now() + this.#options.deadlineMs; !this.#isClosed; ) {
      if (this.#primary !== undefined) return this.#primary;
      await pause(LOOK_AGAIN_MS);
      if (performance.now() < reportAtMs) continue;
      onProblem(new Error(`no sentinel names the primary: ${this.#problem}`));
      reportAtMs += this.#options.deadlineMs;
    }
    throw new Error("the sentinels are no longer asked");
  }

  follow(onMove: () => void): void {
    this.#followers.push(onMove);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const { connection } of this.#sentinels.values()) connection.client.disconnect();
  }

  #add(address: ServerAddress, isConfigured: boolean): void {
    const name = `${address.host}:${address.port}`;
    if (this.#isClosed || this.#sentinels.has(name) || (!isConfigured && this.#sentinels.size >= MAX_SENTINELS)) return;
    const connection = RedisConnection.toSentinel(address, this.#options.deadlineMs);
    const { client } = connection;
    const sentinel: Sentinel = { connection, isConfigured, report: undefined, isBeingAsked: false };
    this.#sentinels.set(name, sentinel);
    client.on("error", (error: Error) => {
      this.#problem = `${name}: ${error.message}`;
    });
    client.on("ready", () => void this.#ask(name, sentinel));
    client.connect().catch(() => undefined);
  }

  #poll(): void {
    if (++this.#polls % LEARN_EVERY_POLLS === 0) this.#removeSilent();
    for (const [name, sentinel] of this.#sentinels) void this.#ask(name, sentinel);
  }

  /** Removes the sentinels that were learned of and do not reply: they may be gone for good, or unreachable from here. */
  #removeSilent(): void {
    const oldestMs = performance.now() - REPORT_LIFE_MS;
    for (const [name, { isConfigured, report, connection }] of this.#sentinels) {
      if (isConfigured || (report !== undefined && report.atMs >= oldestMs)) continue;
      connection.client.disconnect();
      this.#sentinels.delete(name);
    }
  }

  /** Does not reject. */
  async #ask(name: string, sentinel: Sentinel): Promise<void> {
    if (sentinel.isBeingAsked || sentinel.connection.client.status !== "ready") return;
    sentinel.isBeingAsked = true;
    const { masterName } = this.#options;
    // Ask for the epoch before the address: if a failover comes between the two, the address is newer than the epoch.
    const outcome = await sentinel.connection.run([
      { name: "SENTINEL", args: ["MASTER", masterName] },
      { name: "SENTINEL", args: ["GET-MASTER-ADDR-BY-NAME", masterName] },
    ]);
    const isNew = sentinel.report === undefined;
    if (outcome.kind === "replies") this.#report(name, sentinel, outcome.replies);
    if (isNew || this.#polls % LEARN_EVERY_POLLS === 0) {
      this.#learn(await sentinel.connection.run([{ name: "SENTINEL", args: ["SENTINELS", masterName] }]));
    }
    sentinel.isBeingAsked = false;
  }

  #report(name: string, sentinel: Sentinel, [master, named]: readonly RedisReply[]): void {
    const [host, port] = texts(named);
    if (host === undefined || port === undefined) {
      const { masterName } = this.#options;
      this.#problem = `${name}: ${named instanceof Error ? named.message : `it knows no primary "${masterName}"`}`;
      return;
    }
    const epoch = Number(field(master, "config-epoch") ?? 0);
    // An epoch that is no number would be neither above nor below the others.
    if (host === "" || !isPort(Number(port)) || !Number.isSafeInteger(epoch)) {
      this.#problem = `${name}: its reply is no address, or no epoch`;
      return;
    }
    sentinel.report = { address: { host, port: Number(port) }, epoch, atMs: performance.now() };
    this.#decide();
  }

  /** The primary by the reports of the newest epoch: the address that most of them name; if several, the one in use. */
  #decide(): void {
    const oldestMs = performance.now() - REPORT_LIFE_MS;
    const reports = [...this.#sentinels.values()].flatMap(({ report }) =>
      report !== undefined && report.atMs >= oldestMs ? [report] : [],
    );
    const epoch = Math.max(...reports.map((report) => report.epoch));
    let best: ServerAddress | undefined;
    let bestVotes = 0;
    for (const { address } of reports.filter((report) => report.epoch === epoch)) {
      const votes = reports.filter((report) => report.epoch === epoch && isSame(report.address, address)).length;
      if (votes < bestVotes || (votes === bestVotes && !isSame(address, this.#primary))) continue;
      best = address;
      bestVotes = votes;
    }
    if (best === undefined || isSame(best, this.#primary)) return;
    this.#primary = best;
    for (const onMove of this.#followers) onMove();
  }

  #learn(outcome: BatchOutcome): void {
    const [others] = outcome.kind === "replies" ? outcome.replies : [];
    for (const other of Array.isArray(others) ? others : []) {
      const host = field(other, "ip");
      const port = Number(field(other, "port"));
      if (host !== undefined && host !== "" && isPort(port)) this.#add({ host, port }, false);
    }
  }
}

export function isSame(one: ServerAddress, other: ServerAddress | undefined): boolean {
  return one.host === other?.host && one.port === other.port;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65_536;
}

/** A value of the flat list of names and values in a reply of Sentinel. */
function field(reply: RedisReply | undefined, name: string): string | undefined {
  const words = texts(reply);
  const at = words.indexOf(name);
  return at < 0 ? undefined : words[at + 1];
}

function texts(reply: RedisReply | undefined): readonly string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}
