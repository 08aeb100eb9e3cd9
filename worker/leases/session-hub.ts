import { DurableObject } from "cloudflare:workers";
import type { Reach } from "../../protocol/leases/bridge-acks.ts";
import { type HubOutput, type HubRead, LeaseHub } from "../../protocol/leases/lease-hub.ts";
import { BRIDGE_HEADER } from "../../protocol/versions.ts";
import { type IsolateBindings, openIsolate } from "../isolate.ts";
import { type LogPage, MAX_LOG_PAGE, type SessionEvent } from "../session-store/session-log.ts";
import { type SessionStore, STORE_DEADLINE_MS, settledWithin } from "../session-store/session-store.ts";
import type { Acknowledging, BridgeStatus, BridgesReach, RefusedBridge } from "./acknowledgements.ts";
import { LeaseClock } from "./lease-clock.ts";

/**
 * The bridges that may be connected. Each change is sent to each of them, so more would make every delete slow; and workerd holds
 * what they do not read: 1,000 * 64 KiB (DEFAULT_HUB_LIMITS) = 64 MiB of an object's 128.
 */
export const MAX_BRIDGES = 1000;

/** A bridge sends something three times in each bound, so one that was silent for so long and so many bounds has died. */
const DEAD_AFTER_MS = 10_000;
const DEAD_AFTER_BOUNDS = 3;

/** How long bridges may take to report their status. */
const STATUS_WAIT_MS = 500;

/** A bridge that was refused dials again within a minute (tcp-bridge/edge/edge-redial.ts). */
const REFUSED_LISTED_MS = 120_000;
const MAX_REFUSED_LISTED = 20;

/** Closed connections are logged at most once in this time. */
const LOG_INTERVAL_MS = 60_000;

/** What bridges hear of: they keep no session that they did not ask for. */
const REVOKING: ReadonlySet<SessionEvent["kind"]> = new Set(["changed", "ended"]);

/** The header in which the route tells the hub a bridge's address. */
export const ADDRESS_HEADER = "X-Artoria-Address";

/** WebSocket close codes (RFC 6455 §7.4.1). */
const CLOSE_GOING_AWAY = 1001;

/**
 * The hub: the Durable Object to which all bridges are connected, an instance of {@link LeaseHub} with its sockets, its clock and the
 * session log. It keeps nothing but what it has in memory: if it is restarted, its connections are lost, its bridges forget what they
 * have kept, and the leases that it granted run out under its old name ({@link Acknowledgements}).
 *
 * Its sockets do not hibernate. Bridges send something three times in each bound, so that the object would hardly ever sleep, and
 * after a sleep it would not know any more which leases run and what was not acked.
 */
export class SessionHub extends DurableObject<IsolateBindings> implements Acknowledging {
  /** This instance's name in the store. */
  readonly #name: string = crypto.randomUUID();
  readonly #store: SessionStore;
  readonly #clock: LeaseClock;
  readonly #hub: LeaseHub<WebSocket>;
  readonly #deadAfterMs: number;
  readonly #connections = new Map<WebSocket, Connection>();
  /** By what they have told, the newest at the end. */
  readonly #refused = new Map<string, RefusedBridge & { readonly atMs: number }>();
  #status: Promise<readonly BridgeStatus[]> | undefined;
  #loggedMs = 0;
  /** The time that the hub was last told. */
  #toldMs = 0;

  constructor(ctx: DurableObjectState, env: IsolateBindings) {
    super(ctx, env);
    const { store, config } = openIsolate(env);
    this.#store = store;
    this.#deadAfterMs = Math.max(DEAD_AFTER_MS, DEAD_AFTER_BOUNDS * config.revocationBoundMs);
    this.#clock = new LeaseClock(config.revocationBoundMs, () => this.#hub.tick(this.#tell()));
    const output: HubOutput<WebSocket> = {
      send: (socket, frame) => {
        // A socket whose other end is gone cannot send; its close event follows.
        if (socket.readyState === WebSocket.OPEN) socket.send(frame);
      },
      close: (socket, code, reason) => this.#close(socket, code, reason),
      read: (read) => this.ctx.waitUntil(this.#read(read)),
    };
    this.#hub = new LeaseHub(config.revocationBoundMs, output);
  }

  /** A bridge's upgrade, which the worker has admitted; 429 if there are as many bridges as there may be. */
  override fetch({ headers }: Request): Response {
    if (this.#hub.bridges >= MAX_BRIDGES) this.#closeDead();
    if (this.#hub.bridges >= MAX_BRIDGES) return new Response(null, { status: 429 });
    const { 0: client, 1: socket } = new WebSocketPair();
    socket.accept();
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => this.#receive(socket, data));
    socket.addEventListener("close", () => this.#disconnect(socket));
    socket.addEventListener("error", () => this.#disconnect(socket));
    const [version, address, nowMs] = [headers.get(BRIDGE_HEADER), headers.get(ADDRESS_HEADER), Date.now()];
    this.#connections.set(socket, { version, address, connectedMs: nowMs, heardMs: nowMs });
    this.#hub.connected(socket, version !== null);
    return new Response(null, { status: 101, webSocket: client });
  }

  /**
   * Resolves with this hub's name once no bridge of it answers by what the log said before the call: each has acked it, or its lease
   * has run out. Resolves with null if that cannot be known, because the log could not be read.
   */
  async acknowledged(): Promise<string | null> {
    return (await this.#acknowledged()) === null ? null : this.#name;
  }

  async reach(): Promise<BridgesReach | null> {
    const reach = await this.#acknowledged();
    if (reach === null) return null;
    // Without a bridge the hub does not read.
    const position = reach.position ?? (await this.#readPage({ after: null, leaseMs: null }))?.position;
    return position === undefined ? null : { ...reach, position };
  }

  /** Calls that come while bridges are asked have the same answer. */
  status(): Promise<readonly BridgeStatus[]> {
    this.#status ??= this.#askStatus().finally(() => {
      this.#status = undefined;
    });
    return this.#status;
  }

  async refused(bridge: RefusedBridge): Promise<void> {
    const key = JSON.stringify(bridge);
    this.#refused.delete(key);
    this.#refused.set(key, { ...bridge, atMs: Date.now() });
    const [oldest] = this.#refused.keys();
    if (this.#refused.size > MAX_REFUSED_LISTED && oldest !== undefined) this.#refused.delete(oldest);
  }

  async #askStatus(): Promise<readonly BridgeStatus[]> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hub.requestStatus(resolve);
    await settledWithin(STATUS_WAIT_MS, promise);
    const [leaseNowMs, nowMs] = [this.#tell(), Date.now()];
    const connected = Array.from(this.#connections, ([socket, { version, address, connectedMs }]) => {
      const { report, leaseAgeMs } = this.#hub.statusOf(socket, leaseNowMs);
      const { kept = null, answered = null, fromMemory = null } = report ?? {};
      return {
        version,
        address,
        kept,
        answered,
        fromMemory,
        leaseAgeMs,
        connectedMs: Math.max(0, nowMs - connectedMs),
        refusedProtocol: null,
      };
    });
    const nothing = { kept: null, answered: null, fromMemory: null, leaseAgeMs: null, connectedMs: null };
    const refused = [...this.#refused.values()].filter(({ atMs }) => nowMs - atMs < REFUSED_LISTED_MS);
    return [
      ...connected,
      ...refused.map(({ version, address, protocol }) => ({ version, address, refusedProtocol: protocol, ...nothing })),
    ];
  }

  #acknowledged(): Promise<Reach | null> {
    const { promise, resolve } = Promise.withResolvers<Reach | null>();
    this.#hub.acknowledged(resolve, this.#tell());
    return promise;
  }

  #receive(socket: WebSocket, data: ArrayBuffer | string): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.heardMs = Date.now();
    this.#hub.received(socket, typeof data === "string" ? data : new Uint8Array(data), this.#tell());
  }

  #disconnect(socket: WebSocket): void {
    this.#connections.delete(socket);
    this.#hub.disconnected(socket, this.#tell());
  }

  /** The time, for an input of the hub. */
  #tell(): number {
    this.#toldMs = this.#clock.nowMs;
    return this.#toldMs;
  }

  async #read(read: HubRead): Promise<void> {
    // A lease counts from the beginning of the read after which it is granted.
    if (read.leaseMs !== null) this.#clock.begin(this.#toldMs);
    this.#hub.readDone((await this.#readPage(read)) ?? { kind: "unavailable" }, this.#tell());
  }

  /** Undefined if the store could not be read. */
  async #readPage({ after, leaseMs }: HubRead): Promise<Exclude<LogPage, { kind: "unavailable" }> | undefined> {
    const lease = leaseMs !== null && { lease: { hub: this.#name, ms: leaseMs } };
    const read = this.#store.readLog({ after, limit: MAX_LOG_PAGE, kinds: REVOKING, ...lease });
    const page = await settledWithin<LogPage>(2 * STORE_DEADLINE_MS, read);
    return page?.kind === "unavailable" ? undefined : page;
  }

  #closeDead(): void {
    const sinceMs = Date.now() - this.#deadAfterMs;
    for (const [socket, { heardMs }] of this.#connections) {
      if (heardMs > sinceMs) continue;
      this.#disconnect(socket);
      this.#close(socket, CLOSE_GOING_AWAY, "silent for too long");
    }
  }

  #close(socket: WebSocket, code: number, reason: string): void {
    this.#connections.delete(socket);
    socket.close(code, reason);
    const nowMs = Date.now();
    if (nowMs - this.#loggedMs < LOG_INTERVAL_MS) return;
    this.#loggedMs = nowMs;
    // biome-ignore lint/suspicious/noConsole: a Worker's log is its console
    console.warn(`the hub closed a bridge's connection: ${reason}`);
  }
}

interface Connection {
  readonly version: string | null;
  readonly address: string | null;
  /** When it began, and when the bridge last sent something; epoch ms. */
  readonly connectedMs: number;
  heardMs: number;
}
