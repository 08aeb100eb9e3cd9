import type { ReconnectRule } from "../../closed-codes.ts";
import { ProtocolError } from "../../packet-framing.ts";
import type { Joined } from "../../player-packets.ts";
import { BackOff } from "./back-off.ts";
import { type ClientConfig, type ClientLimits, freshAttemptAt } from "./client-config.ts";
import { ClientConnection, type ClientState } from "./client-connection.ts";
import type { ClientOutputs } from "./client-output.ts";
import type { ClientSeat } from "./client-seat.ts";
import { Heartbeat } from "./heartbeat.ts";

/**
 * Keeps a connection to the room: `current` is the one that the room has accepted; `candidate` is to replace it, or to become
 * the first. Both may be open at once. The candidate replaces the current one when its Joined arrives, not before.
 */
export class ClientDialer {
  readonly #config: ClientConfig;
  readonly #limits: ClientLimits;
  readonly #outputs: ClientOutputs;
  readonly #seat: ClientSeat;
  readonly #backOff: BackOff;
  #current: ClientConnection | undefined;
  #candidate: ClientConnection | undefined;
  #dialAtMs: number | undefined;
  /** When the session was last established. */
  #establishedMs = Number.POSITIVE_INFINITY;
  #nextId = 1;
  #lastAttempt = 0;
  /** Fresh Joins that were given up without a response: a room that gets one late takes it for a newer connection. */
  #lateFreshJoins = 0;
  /** Whether a resume newer than the current connection was given up without a response: the room may have accepted it. */
  #lateResume = false;
  #nonce = 0;

  constructor(config: ClientConfig, limits: ClientLimits, outputs: ClientOutputs, seat: ClientSeat) {
    this.#config = config;
    this.#limits = limits;
    this.#outputs = outputs;
    this.#seat = seat;
    this.#backOff = new BackOff(limits, config.random);
  }

  get current(): ClientConnection | undefined {
    return this.#current;
  }

  get state(): ClientState {
    return this.#current?.state ?? this.#candidate?.state ?? "None";
  }

  get deadlineMs(): number | undefined {
    const deadlines = [this.#dialAtMs, this.#candidate?.dialDeadlineMs, this.#current?.heartbeat.deadlineMs];
    const earliest = Math.min(...deadlines.map((deadlineMs) => deadlineMs ?? Number.POSITIVE_INFINITY));
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  connections(): ClientConnection[] {
    return [this.#current, this.#candidate].filter((connection) => connection !== undefined);
  }

  /** The connection with this number, undefined if it was dropped. */
  find(id: number): ClientConnection | undefined {
    return this.connections().find((connection) => connection.id === id);
  }

  dial(nowMs: number): void {
    this.#dialAtMs = undefined;
    const connection = new ClientConnection(this.#nextId++, this.#limits, nowMs, nowMs + this.#limits.dialTimeoutMs);
    this.#candidate = connection;
    connection.take("dial");
    this.#outputs.dial(connection);
    this.#reportState();
  }

  connected(id: number): void {
    this.find(id)?.take("connected");
    this.#reportState();
  }

  opened(id: number, nowMs: number): void {
    const connection = this.find(id);
    if (connection === undefined || !connection.take("opened")) return;
    this.#reportState();
    const { epoch, delivered } = this.#seat.position;
    const { token, room } = this.#config;
    connection.joinedFresh = epoch === 0;
    const freshAttempt = connection.joinedFresh ? freshAttemptAt(this.#config.epochMs()) : 1;
    const attempt = Math.max(this.#lastAttempt + 1, freshAttempt);
    this.#lastAttempt = attempt;
    connection.add({ kind: "join", token, room, epoch, delivered, attempt });
    connection.heartbeat.sent(nowMs);
    connection.take("join");
    this.#reportState();
  }

  /** Bytes were received: the connection is not suspect any more. */
  heard(connection: ClientConnection, nowMs: number): void {
    connection.heartbeat.heard(nowMs);
    if (connection === this.#current) this.#keepCurrentIfWell(nowMs);
  }

  /**
   * The room accepted the candidate, which replaces the current connection.
   *
   * @returns false if another client has used the seat
   * @throws ProtocolError the connection has sent no Join
   */
  joined(connection: ClientConnection, joined: Joined, nowMs: number): boolean {
    if (!connection.take("joined")) throw new ProtocolError("unexpected_packet", "joined without a join");
    if (this.#current !== undefined) this.#drop(this.#current);
    this.#candidate = undefined;
    this.#current = connection;
    this.#dialAtMs = undefined;
    // The room accepts no resume that is older than the one it has responded to.
    this.#lateResume = false;
    connection.dialDeadlineMs = undefined;
    connection.heartbeat = new Heartbeat(this.#heartbeatLimits(joined), nowMs);
    this.#reportState();
    return this.#seat.join(connection, joined, nowMs);
  }

  /** The session is established: the back-off starts again from its base. */
  established(nowMs: number): void {
    this.#establishedMs = nowMs;
    this.#backOff.reset();
    this.#reportState();
  }

  /** A connection ended; `rule` if the room closed it. */
  lost(connection: ClientConnection, nowMs: number, rule?: ReconnectRule): void {
    const wasCurrent = connection === this.#current;
    const wasInUse = connection.state === "Established" && nowMs - this.#establishedMs >= this.#limits.backOffBaseMs;
    this.#drop(connection);
    if (wasCurrent) this.#seat.beginHandover(nowMs);
    if (this.#candidate === undefined && this.#dialAtMs === undefined) {
      // A room that accepts connections and breaks them at once is dialed after the back-off, as one that refuses them.
      const brokeAlone = wasInUse && rule === undefined;
      this.#dialAtMs = nowMs + (brokeAlone ? this.#backOff.redialDelayMs() : this.#delayMs(rule));
    }
    if (!wasCurrent) this.#keepCurrentIfWell(nowMs);
    this.#reportState();
  }

  /** Whether this client's own newer or late Join replaced the connection. If so, the client continues. */
  replacedItself(connection: ClientConnection, nowMs: number): boolean {
    if (connection !== this.#current) return false;
    if (this.#candidate?.hasJoinSent !== true && !this.#lateResume) {
      if (this.#lateFreshJoins === 0) return false;
      this.#lateFreshJoins -= 1;
    }
    this.lost(connection, nowMs);
    return true;
  }

  /** The network changed: pings the current connection, gives the candidate `probeMs` to finish, or dials at once. */
  networkChanged(nowMs: number): void {
    if (this.#current !== undefined) this.#ping(this.#current, nowMs);
    else if (this.#candidate === undefined) this.dial(nowMs);
    if (this.#candidate?.dialDeadlineMs !== undefined) {
      const probedMs = nowMs + this.#limits.probeMs;
      this.#candidate.dialDeadlineMs = Math.min(this.#candidate.dialDeadlineMs, probedMs);
    }
  }

  tick(nowMs: number): void {
    if (nowMs >= (this.#candidate?.dialDeadlineMs ?? Number.POSITIVE_INFINITY) && this.#candidate !== undefined) {
      this.lost(this.#candidate, nowMs);
    }
    if (this.#current !== undefined) this.#watch(this.#current, nowMs);
    // A connection that did not respond for the whole retention has lost the seat.
    if (this.#seat.giveUpIfLate(nowMs) && this.#current !== undefined) this.lost(this.#current, nowMs);
    if (nowMs >= (this.#dialAtMs ?? Number.POSITIVE_INFINITY)) this.dial(nowMs);
  }

  stopDialing(): void {
    this.#dialAtMs = undefined;
    if (this.#candidate !== undefined) this.#drop(this.#candidate);
  }

  /** Drops all connections. */
  stop(nowMs: number): void {
    this.stopDialing();
    if (this.#current !== undefined) this.#drop(this.#current);
    this.#seat.handover.end(nowMs);
    this.#reportState();
  }

  #watch(connection: ClientConnection, nowMs: number): void {
    const verdict = connection.heartbeat.due(nowMs);
    if (verdict === "ping") this.#ping(connection, nowMs);
    else if (verdict === "dead") this.lost(connection, nowMs);
    else if (verdict === "suspect") {
      this.#seat.beginHandover(nowMs);
      if (this.#candidate === undefined) this.dial(nowMs);
    }
  }

  /** Keeps the old connection if it responds again before the room knows of another. */
  #keepCurrentIfWell(nowMs: number): void {
    const well = this.#current?.isJoined === true && !this.#current.heartbeat.isSuspect;
    if (!well || !this.#seat.handover.isOpen || this.#candidate?.hasJoinSent === true) return;
    this.stopDialing();
    this.#seat.handover.secure();
    if (this.#current?.state === "Established") this.#seat.endHandover(nowMs);
  }

  #ping(connection: ClientConnection, nowMs: number): void {
    if (this.#config.heartbeat === "text") this.#outputs.textPing(connection);
    else connection.add({ kind: "ping", nonce: this.#nonce++ >>> 0 });
    connection.heartbeat.pinged(nowMs);
  }

  #drop(connection: ClientConnection): void {
    if (connection.state === "Restore" && connection.joinedFresh) this.#lateFreshJoins += 1;
    else if (connection.state === "Restore") this.#lateResume = true;
    if (connection === this.#current) {
      this.#current = undefined;
      this.#seat.resetAcks();
    }
    if (connection === this.#candidate) this.#candidate = undefined;
    connection.take("lost");
    this.#outputs.close(connection);
  }

  #delayMs(rule: ReconnectRule | undefined): number {
    if (rule === "later") return this.#backOff.longDelayMs();
    // A room that goes away disconnects all of its players: their first dials are spread wider.
    if (rule === "backoff") this.#backOff.nextDelayMs();
    return this.#backOff.nextDelayMs();
  }

  #heartbeatLimits({ heartbeatSeconds }: Joined): ClientLimits {
    const pingAfterIdleMs = heartbeatSeconds * 1000;
    if (pingAfterIdleMs === 0 || pingAfterIdleMs === this.#limits.pingAfterIdleMs) return this.#limits;
    // The same number of pings before the verdict, whatever their interval.
    const ratio = this.#limits.deadAfterSilenceMs / this.#limits.pingAfterIdleMs;
    return { ...this.#limits, pingAfterIdleMs, deadAfterSilenceMs: pingAfterIdleMs * ratio };
  }

  #reportState(): void {
    this.#outputs.state(this.state);
  }
}
