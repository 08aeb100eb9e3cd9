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
 * Keeps a path to the room: `current` is the connection that the room has accepted, `candidate` the one that is to
 * replace it or to become the first. Both may live at once; the candidate takes over with its Joined, and not before.
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
  #nextLinkId = 1;
  #lastAttempt = 0;
  /** Fresh Joins that were given up unanswered: a room that gets one late takes it for a newer connection. */
  #lateFreshJoins = 0;
  /** Whether a resume that is newer than the current connection was given up unanswered: the room may have taken it. */
  #lateResume = false;
  #nonce = 0;

  constructor(config: ClientConfig, limits: ClientLimits, outputs: ClientOutputs, seat: ClientSeat) {
    this.#config = config;
    this.#limits = limits;
    this.#outputs = outputs;
    this.#seat = seat;
    this.#backOff = new BackOff(limits.backOffBaseMs, limits.backOffCapMs, config.random);
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

  links(): ClientConnection[] {
    return [this.#current, this.#candidate].filter((link) => link !== undefined);
  }

  /** The connection of this number, if it still counts. */
  find(id: number): ClientConnection | undefined {
    return this.links().find((link) => link.id === id);
  }

  dial(nowMs: number): void {
    this.#dialAtMs = undefined;
    const link = new ClientConnection(this.#nextLinkId++, this.#limits, nowMs, nowMs + this.#limits.dialTimeoutMs);
    this.#candidate = link;
    link.take("dial");
    this.#outputs.dial(link);
    this.#tellState();
  }

  connected(id: number): void {
    this.find(id)?.take("connected");
    this.#tellState();
  }

  opened(id: number, nowMs: number): void {
    const link = this.find(id);
    if (link === undefined || !link.take("opened")) return;
    this.#tellState();
    const { epoch, delivered } = this.#seat.position;
    const { token, room } = this.#config;
    link.joinedFresh = epoch === 0;
    const freshAttempt = link.joinedFresh ? freshAttemptAt(this.#config.epochMs()) : 1;
    const attempt = Math.max(this.#lastAttempt + 1, freshAttempt);
    this.#lastAttempt = attempt;
    link.add({ kind: "join", token, room, epoch, delivered, attempt });
    link.heartbeat.sent(nowMs);
    link.take("join");
    this.#tellState();
  }

  /** Something came in: a path that was suspect is not any more. */
  heard(link: ClientConnection, nowMs: number): void {
    link.heartbeat.heard(nowMs);
    if (link === this.#current) this.#stayIfWell(nowMs);
  }

  /**
   * The room accepted the candidate: it takes over.
   *
   * @returns false if another client has used the seat
   * @throws ProtocolError no Join was waiting for it
   */
  joined(link: ClientConnection, joined: Joined, nowMs: number): boolean {
    if (!link.take("joined")) throw new ProtocolError("unexpected_packet", "joined without a join");
    if (this.#current !== undefined) this.#drop(this.#current);
    this.#candidate = undefined;
    this.#current = link;
    this.#dialAtMs = undefined;
    // The room takes no resume any more that is older than the one it has answered.
    this.#lateResume = false;
    link.dialDeadlineMs = undefined;
    link.heartbeat = new Heartbeat(this.#heartbeatLimits(joined), nowMs);
    this.#tellState();
    return this.#seat.join(link, joined, nowMs);
  }

  /** The session is established: the next trouble is a new one. */
  established(): void {
    this.#backOff.reset();
    this.#tellState();
  }

  /** A connection ended, or was ended by the room with this rule. */
  lost(link: ClientConnection, nowMs: number, rule: ReconnectRule = "now"): void {
    const wasCurrent = link === this.#current;
    this.#drop(link);
    if (wasCurrent) this.#seat.beginHandover(nowMs);
    if (this.#candidate === undefined && this.#dialAtMs === undefined) this.#dialAtMs = nowMs + this.#delayMs(rule);
    if (!wasCurrent) this.#stayIfWell(nowMs);
    this.#tellState();
  }

  /** Whether a connection that was replaced was so by this client's own, newer or late, Join; then it goes on. */
  replacedItself(link: ClientConnection, nowMs: number): boolean {
    if (link !== this.#current) return false;
    if (this.#candidate?.hasJoinSent !== true && !this.#lateResume) {
      if (this.#lateFreshJoins === 0) return false;
      this.#lateFreshJoins -= 1;
    }
    this.lost(link, nowMs);
    return true;
  }

  /** The network changed: what lives is probed, what is being made must answer as soon, what waits is tried now. */
  hint(nowMs: number): void {
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
    // A connection that never answered in all that time has no seat any more.
    if (this.#seat.giveUpIfLate(nowMs) && this.#current !== undefined) this.lost(this.#current, nowMs);
    if (nowMs >= (this.#dialAtMs ?? Number.POSITIVE_INFINITY)) this.dial(nowMs);
  }

  stopDialing(): void {
    this.#dialAtMs = undefined;
    if (this.#candidate !== undefined) this.#drop(this.#candidate);
  }

  /** Ends everything. */
  stop(nowMs: number): void {
    this.stopDialing();
    if (this.#current !== undefined) this.#drop(this.#current);
    this.#seat.handover.end(nowMs);
    this.#tellState();
  }

  #watch(link: ClientConnection, nowMs: number): void {
    const verdict = link.heartbeat.due(nowMs);
    if (verdict === "ping") this.#ping(link, nowMs);
    else if (verdict === "dead") this.lost(link, nowMs);
    else if (verdict === "suspect") {
      this.#seat.beginHandover(nowMs);
      if (this.#candidate === undefined) this.dial(nowMs);
    }
  }

  /** The old path answers again before the room knows of another: stay. */
  #stayIfWell(nowMs: number): void {
    const well = this.#current?.isJoined === true && !this.#current.heartbeat.isSuspect;
    if (!well || !this.#seat.handover.isOpen || this.#candidate?.hasJoinSent === true) return;
    this.stopDialing();
    this.#seat.handover.secure();
    if (this.#current?.state === "Established") this.#seat.endHandover(nowMs);
  }

  #ping(link: ClientConnection, nowMs: number): void {
    if (this.#config.heartbeat === "text") this.#outputs.textPing(link);
    else link.add({ kind: "ping", nonce: this.#nonce++ >>> 0 });
    link.heartbeat.pinged(nowMs);
  }

  #drop(link: ClientConnection): void {
    if (link.state === "Restore" && link.joinedFresh) this.#lateFreshJoins += 1;
    else if (link.state === "Restore") this.#lateResume = true;
    if (link === this.#current) {
      this.#current = undefined;
      this.#seat.forgetAcks();
    }
    if (link === this.#candidate) this.#candidate = undefined;
    link.take("lost");
    this.#outputs.close(link);
  }

  #delayMs(rule: ReconnectRule): number {
    if (rule === "later") return this.#backOff.longDelayMs();
    // A room that goes away takes all of its players with it: their first dials spread wider.
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

  #tellState(): void {
    this.#outputs.state(this.state);
  }
}
