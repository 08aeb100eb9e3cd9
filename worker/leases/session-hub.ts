import { DurableObject } from "cloudflare:workers";
import { type HubOutput, type HubRead, LeaseHub } from "../../protocol/leases/lease-hub.ts";
import { type IsolateBindings, openIsolate } from "../isolate.ts";
import { type LogPage, MAX_LOG_PAGE, type SessionEvent } from "../session-store/session-log.ts";
import { type SessionStore, STORE_DEADLINE_MS, settledWithin } from "../session-store/session-store.ts";
import type { Acknowledging } from "./acknowledgements.ts";
import { LeaseClock } from "./lease-clock.ts";

/**
 * The bridges that may be connected. Each change is sent to each of them, so more would make every delete slow; and workerd holds
 * what they do not read: 1,000 * 64 KiB (DEFAULT_HUB_LIMITS) = 64 MiB of an object's 128.
 */
export const MAX_BRIDGES = 1000;

/** A bridge sends something three times in each bound, so one that was silent for so long and so many bounds has died. */
const DEAD_AFTER_MS = 10_000;
const DEAD_AFTER_BOUNDS = 3;

/** Closed connections are logged at most once in this time. */
const LOG_INTERVAL_MS = 60_000;

/** What bridges hear of: they keep no session that they did not ask for. */
const REVOKING: ReadonlySet<SessionEvent["kind"]> = new Set(["changed", "ended"]);

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
  /** When each bridge last sent something, epoch ms. */
  readonly #heardMs = new Map<WebSocket, number>();
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
  override fetch(): Response {
    if (this.#hub.bridges >= MAX_BRIDGES) this.#closeDead();
    if (this.#hub.bridges >= MAX_BRIDGES) return new Response(null, { status: 429 });
    const { 0: client, 1: socket } = new WebSocketPair();
    socket.accept();
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => this.#receive(socket, data));
    socket.addEventListener("close", () => this.#disconnect(socket));
    socket.addEventListener("error", () => this.#disconnect(socket));
    this.#heardMs.set(socket, Date.now());
    this.#hub.connected(socket);
    return new Response(null, { status: 101, webSocket: client });
  }

  /**
   * Resolves with this hub's name once no bridge of it answers by what the log said before the call: each has acked it, or its lease
   * has run out. Resolves with null if that cannot be known, because the log could not be read.
   */
  async acknowledged(): Promise<string | null> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#hub.acknowledged(resolve, this.#tell());
    return (await promise) ? this.#name : null;
  }

  #receive(socket: WebSocket, data: ArrayBuffer | string): void {
    this.#heardMs.set(socket, Date.now());
    this.#hub.received(socket, typeof data === "string" ? data : new Uint8Array(data), this.#tell());
  }

  #disconnect(socket: WebSocket): void {
    this.#heardMs.delete(socket);
    this.#hub.disconnected(socket, this.#tell());
  }

  /** The time, for an input of the hub. */
  #tell(): number {
    this.#toldMs = this.#clock.nowMs;
    return this.#toldMs;
  }

  async #read({ after, leaseMs }: HubRead): Promise<void> {
    // A lease counts from the beginning of the read after which it is granted.
    if (leaseMs !== null) this.#clock.begin(this.#toldMs);
    const lease = leaseMs !== null && { lease: { hub: this.#name, ms: leaseMs } };
    const read = this.#store.readLog({ after, limit: MAX_LOG_PAGE, kinds: REVOKING, ...lease });
    const page = await settledWithin<LogPage>(2 * STORE_DEADLINE_MS, read);
    this.#hub.readDone(page ?? { kind: "unavailable" }, this.#tell());
  }

  #closeDead(): void {
    const sinceMs = Date.now() - this.#deadAfterMs;
    for (const [socket, heardMs] of this.#heardMs) {
      if (heardMs > sinceMs) continue;
      this.#disconnect(socket);
      this.#close(socket, CLOSE_GOING_AWAY, "silent for too long");
    }
  }

  #close(socket: WebSocket, code: number, reason: string): void {
    this.#heardMs.delete(socket);
    socket.close(code, reason);
    const nowMs = Date.now();
    if (nowMs - this.#loggedMs < LOG_INTERVAL_MS) return;
    this.#loggedMs = nowMs;
    // biome-ignore lint/suspicious/noConsole: a Worker's log is its console
    console.warn(`the hub closed a bridge's connection: ${reason}`);
  }
}
