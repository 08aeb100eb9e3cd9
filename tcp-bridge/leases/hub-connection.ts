import type { IncomingHttpHeaders } from "node:http";
import type { Logger } from "pino";
import { type RawData, WebSocket } from "ws";
import { LEASE_MESSAGE_TYPES, MAX_LEASE_MESSAGE_BYTES } from "../../protocol/leases/lease-messages.ts";
import { type Answers, LeasedSessions } from "../../protocol/leases/leased-sessions.ts";
import type { LeasedSessionsLimits } from "../../protocol/leases/session-memory.ts";
import { BRIDGE_HEADER, PACKAGE_VERSION, PROTOCOL_HEADER, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";
import { EdgeRedial } from "../edge/edge-redial.ts";
import type { EdgeVersion } from "../edge/edge-version.ts";
import { KeptSessions } from "./kept-sessions.ts";

/** Where the hub is, and what the bridge keeps. */
export interface HubConnectionOptions {
  /** The edge. Only its origin and path are used. */
  readonly edgeUrl: URL;
  readonly apiKey: string;
  /** Hears what the edge tells of itself. */
  readonly edgeVersion: Pick<EdgeVersion, "misfit">;
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

/** Unauthorized, Not Found (an edge that knows no leases), Upgrade Required. */
const LASTING_REFUSALS: readonly number[] = [401, 404, 426];

/** How long the hub may take to respond to a close. */
const CLOSE_MS = 1_000;

/**
 * Holds the WebSocket to the hub, `/v1/leases` of the edge, and dials again whenever it is lost. What comes on it drives
 * {@link sessions}. While there is none, the edge answers everything.
 */
export class HubConnection {
  readonly sessions: LeasedSessions;
  readonly kept: KeptSessions;
  readonly #options: HubConnectionOptions;
  readonly #url: URL;
  readonly #redial = new EdgeRedial();
  #socket: WebSocket | undefined;
  /** When the first lease of this connection was granted. */
  #grantedMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #dialTimer: NodeJS.Timeout | undefined;

  constructor(options: HubConnectionOptions) {
    this.#options = options;
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
    const { apiKey, connectTimeoutMs } = this.#options;
    const socket = new WebSocket(this.#url, {
      headers: {
        Authorization: `Bearer ${apiKey}`,
        [BRIDGE_HEADER]: PACKAGE_VERSION,
        [PROTOCOL_HEADER]: WIRE_PROTOCOL_VERSION,
      },
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
    const giveUpIfMisfit = (headers: IncomingHttpHeaders): void => {
      const misfit = this.#options.edgeVersion.misfit(headers);
      if (misfit === undefined) return;
      end = { code: "hub_version", detail: misfit, isLasting: true };
      socket.terminate();
    };
    socket.on("upgrade", ({ headers }) => giveUpIfMisfit(headers));
    socket.on("open", () => ifCurrent(() => this.#opened()));
    socket.on("message", (data: RawData, isBinary: boolean) => {
      // With the binaryType "nodebuffer" data is one Buffer.
      ifCurrent(() => this.#received(data as Buffer, isBinary));
    });
    socket.on("unexpected-response", (_request, { statusCode = 0, headers }) => {
      const isLasting = LASTING_REFUSALS.includes(statusCode);
      end = { code: "hub_refused", detail: `HTTP status ${statusCode} to the upgrade`, isLasting };
      if (headers[PROTOCOL_HEADER.toLowerCase()] !== undefined) giveUpIfMisfit(headers);
      socket.terminate();
    });
    socket.on("error", (error) => {
      if (end.code === "hub_unreachable") end = { code: "hub_unreachable", detail: error.message, isLasting: false };
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
    if (!this.#redial.isNews("held")) return;
    const { boundMs } = this.sessions;
    this.#options.logger.info({ boundMs }, "the bridge holds a lease: it answers checks from memory");
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
    const usedMs = this.#grantedMs === undefined ? 0 : this.kept.now() - this.#grantedMs;
    const delayMs = this.#redial.delayMs(usedMs, end.isLasting);
    this.#options.metrics.disconnected(end.code);
    if (this.#redial.isNews(end.code)) {
      const fields = { code: end.code, detail: end.detail, redialMs: Math.ceil(delayMs) };
      this.#options.logger.warn(fields, "the bridge holds no lease: the edge answers every check");
    }
    this.#dialTimer = setTimeout(() => this.open(), delayMs);
  }
}

/** Stable codes: logs and metrics carry them. */
export type HubEndCode =
  /** No connection could be opened, or it was lost before a lease was granted. */
  | "hub_unreachable"
  /** The edge responded with another HTTP status than 101. */
  | "hub_refused"
  /** The edge speaks a wire protocol that this bridge does not. */
  | "hub_version"
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
