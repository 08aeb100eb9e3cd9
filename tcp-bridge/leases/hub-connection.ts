import type { Logger } from "pino";
import { type RawData, WebSocket } from "ws";
import { BRIDGE_HEADER, LEASE_MESSAGE_TYPES, MAX_LEASE_MESSAGE_BYTES } from "../../protocol/leases/lease-messages.ts";
import { type Answers, LeasedSessions } from "../../protocol/leases/leased-sessions.ts";
import type { LeasedSessionsLimits } from "../../protocol/leases/session-memory.ts";
import { KeptSessions } from "./kept-sessions.ts";

/** Where the hub is, and what the bridge keeps. */
export interface HubConnectionOptions {
  /** The edge. Only its origin and path are used. */
  readonly edgeUrl: URL;
  readonly apiKey: string;
  /** Of this bridge, for the hub. */
  readonly version: string;
  /** How long the upgrade may take. */
  readonly connectTimeoutMs: number;
  readonly limits: LeasedSessionsLimits;
  readonly metrics: HubMetrics;
  /** The checks that this bridge has answered since its start. */
  readonly answers: () => Answers;
  readonly logger: Logger;
}

/** Counts what happens between the hub and the bridge. */
export interface HubMetrics {
  connected(): void;
  leaseGranted(): void;
  /** The hub named sessions that have ended or changed. */
  changesReceived(): void;
  /** The hub said that any session may have ended or changed. */
  resetReceived(): void;
  /** What the hub has said was forgotten, and acknowledged. */
  ackSent(): void;
  /** A connection was lost, or could not be opened. */
  disconnected(code: HubEndCode): void;
}

/**
 * The delay before a dial is random, up to the first of these, doubling up to the second, so that bridges that one fault disconnected
 * do not return at the same time (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 */
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 8_000;

/** A connection that held a lease for so long was good: the delays begin anew. */
const GOOD_MS = 10_000;

/** The delay after a refusal that only an operator ends: an edge without leases, a wrong key. Half of it at the least. */
const REFUSED_DELAY_MS = 60_000;

/** Unauthorized, Not Found (an edge that knows no leases), Upgrade Required. */
const LASTING_REFUSALS: readonly number[] = [401, 404, 426];

/** How long the hub may take to respond to a close. */
const CLOSE_MS = 1_000;

/** A state that comes again is not logged again within this time. */
const LOG_INTERVAL_MS = 60_000;

/**
 * Holds the WebSocket to the hub, `/v1/leases` of the edge, and dials again whenever it is lost. What comes on it drives
 * {@link sessions}. While there is none, the edge answers everything.
 */
export class HubConnection {
  readonly sessions: LeasedSessions;
  readonly kept: KeptSessions;
  readonly #options: HubConnectionOptions;
  readonly #url: URL;
  readonly #log: StateLog;
  #socket: WebSocket | undefined;
  /** Dials since the last good connection. */
  #dials = 0;
  /** When the first lease of this connection was granted. */
  #grantedMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #dialTimer: NodeJS.Timeout | undefined;

  constructor(options: HubConnectionOptions) {
    this.#options = options;
    this.#log = new StateLog(options.logger);
    const { origin, pathname } = options.edgeUrl;
    this.#url = new URL(`${origin}${pathname.replace(/\/$/, "")}/v1/leases`);
    this.sessions = new LeasedSessions(options.limits, {
      send: (frame) => {
        this.#socket?.send(frame);
        if (frame[0] === LEASE_MESSAGE_TYPES.ack) options.metrics.ackSent();
      },
      close: (code, reason) => this.#giveUp(code, reason),
      answers: options.answers,
    });
    this.kept = new KeptSessions(this.sessions);
  }

  /** Dials, and keeps dialling until {@link close}. */
  open(): void {
    const { apiKey, version, connectTimeoutMs } = this.#options;
    const socket = new WebSocket(this.#url, {
      headers: { Authorization: `Bearer ${apiKey}`, [BRIDGE_HEADER]: version },
      perMessageDeflate: false,
      maxPayload: MAX_LEASE_MESSAGE_BYTES,
      handshakeTimeout: connectTimeoutMs,
    });
    this.#socket = socket;
    this.#grantedMs = undefined;
    let end: HubEnd = { code: "hub_unreachable", detail: "the upgrade was given up", isLasting: false };
    // What comes after the socket was given up belongs to no connection.
    const ifCurrent = (callback: () => void): void => {
      if (this.#socket === socket) callback();
    };
    socket.on("open", () => ifCurrent(() => this.#opened()));
    socket.on("message", (data: RawData, isBinary: boolean) => {
      // With the binaryType "nodebuffer" data is one Buffer.
      ifCurrent(() => this.#received(data as Buffer, isBinary));
    });
    socket.on("unexpected-response", (_request, { statusCode = 0 }) => {
      const isLasting = LASTING_REFUSALS.includes(statusCode);
      end = { code: "hub_refused", detail: `HTTP status ${statusCode} to the upgrade`, isLasting };
      socket.terminate();
    });
    socket.on("error", (error) => {
      if (end.code !== "hub_refused") end = { code: "hub_unreachable", detail: error.message, isLasting: false };
    });
    socket.on("close", (closeCode, reason) => {
      const detail = `closed with ${closeCode} ${reason.toString()}`;
      ifCurrent(() => this.#lost(this.#grantedMs === undefined ? end : { code: "hub_lost", detail, isLasting: false }));
    });
  }

  /** Ends the connection, forgets everything, and dials no more. Idempotent. */
  async close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    clearTimeout(this.#dialTimer);
    clearTimeout(this.#timer);
    this.sessions.disconnected();
    if (socket !== undefined) await closed(socket, 1000, "");
  }

  #opened(): void {
    this.#options.metrics.connected();
    const nowMs = this.kept.now();
    this.sessions.connected(nowMs);
    this.#arm(nowMs);
  }

  #received(frame: Buffer, isBinary: boolean): void {
    const nowMs = this.kept.now();
    this.sessions.received(isBinary ? frame : frame.toString(), nowMs);
    this.#arm(nowMs);
    const { metrics } = this.#options;
    if (frame[0] === LEASE_MESSAGE_TYPES.changes) metrics.changesReceived();
    else if (frame[0] === LEASE_MESSAGE_TYPES.reset) metrics.resetReceived();
    else if (frame[0] === LEASE_MESSAGE_TYPES.granted) metrics.leaseGranted();
    if (this.#grantedMs !== undefined || !this.sessions.holdsLease(nowMs)) return;
    this.#grantedMs = nowMs;
    this.#log.held(this.sessions.boundMs);
  }

  /** Calls the machine when it has something to do. */
  #arm(nowMs: number): void {
    const { deadlineMs = Number.POSITIVE_INFINITY } = this.sessions;
    // A timer that fires too early is set again.
    if (deadlineMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = deadlineMs;
    this.#timer = setTimeout(
      () => {
        this.#timerAtMs = Number.POSITIVE_INFINITY;
        const firedMs = this.kept.now();
        this.sessions.tick(firedMs);
        this.#arm(firedMs);
      },
      Math.max(1, Math.ceil(deadlineMs - nowMs)),
    );
  }

  /** The machine has given up the connection: the hub broke the protocol, or is silent. */
  #giveUp(code: number, reason: string): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#lost({ code: "hub_given_up", detail: reason, isLasting: false });
    void closed(socket, code, reason);
  }

  #lost(end: HubEnd): void {
    this.#socket = undefined;
    this.sessions.disconnected();
    if (this.#grantedMs !== undefined && this.kept.now() - this.#grantedMs >= GOOD_MS) this.#dials = 0;
    const delayMs = end.isLasting
      ? REFUSED_DELAY_MS * (1 - Math.random() / 2)
      : Math.random() * Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#dials);
    this.#dials += 1;
    this.#options.metrics.disconnected(end.code);
    this.#log.lost(end, delayMs);
    this.#dialTimer = setTimeout(() => this.open(), delayMs);
  }
}

/** Stable codes: logs and metrics carry them. */
export type HubEndCode =
  /** No connection could be opened, or it was lost before a lease was granted. */
  | "hub_unreachable"
  /** The edge responded with another HTTP status than 101. */
  | "hub_refused"
  /** A connection on which a lease was granted was closed, or broke. */
  | "hub_lost"
  /** The hub broke the protocol, or was silent. */
  | "hub_given_up";

/** Why there is no connection any more. */
interface HubEnd {
  readonly code: HubEndCode;
  readonly detail: string;
  /** Whether only an operator can change it. */
  readonly isLasting: boolean;
}

/** Closes a WebSocket, and resolves when it is closed: within {@link CLOSE_MS}. */
async function closed(socket: WebSocket, code: number, reason: string): Promise<void> {
  if (socket.readyState === WebSocket.CLOSED) return;
  // Not once() of node:events: a socket that is closed before it is open has an error too.
  const done = new Promise((resolve) => socket.once("close", resolve));
  const timer = setTimeout(() => socket.terminate(), CLOSE_MS);
  // RFC 6455 §5.5: 125 - 2. The reasons are ASCII.
  socket.close(code, reason.slice(0, 123));
  await done;
  clearTimeout(timer);
}

/** Logs each change between holding a lease and not: one line, and each kind at most once in {@link LOG_INTERVAL_MS}. */
class StateLog {
  readonly #logger: Logger;
  readonly #loggedMs = new Map<string, number>();
  #state = "";

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  held(boundMs: number | undefined): void {
    if (this.#isNews("held")) this.#logger.info({ boundMs }, "the bridge holds a lease: it answers checks from memory");
  }

  lost({ code, detail }: HubEnd, redialMs: number): void {
    if (!this.#isNews(code)) return;
    const fields = { code, detail, redialMs: Math.ceil(redialMs) };
    this.#logger.warn(fields, "the bridge holds no lease: the edge answers every check");
  }

  #isNews(state: string): boolean {
    if (state === this.#state) return false;
    this.#state = state;
    const nowMs = performance.now();
    if (nowMs - (this.#loggedMs.get(state) ?? Number.NEGATIVE_INFINITY) < LOG_INTERVAL_MS) return false;
    this.#loggedMs.set(state, nowMs);
    return true;
  }
}
