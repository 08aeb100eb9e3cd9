import { setTimeout as wait } from "node:timers/promises";
import { BackOff } from "../protocol/reliable/client/back-off.ts";
import type { ServiceRequest, ServiceResponse, ServiceResponseTo } from "../protocol/session-request.ts";
import { Status, statusName } from "../protocol/status-codes.ts";
import type { WatchNotice } from "../protocol/watch-packets.ts";
import { ConnectionError, type Connector } from "./connector.ts";
import { type NoticeListener, ServiceClient, type ServiceClientOptions } from "./service-client.ts";

/** What a {@link SessionWatch} tells of. */
export type WatchEvent =
  /** A session ended. */
  | Extract<WatchNotice, { readonly kind: "ended" }>
  /** Nothing more of the watch happened up to this position. */
  | { readonly kind: "checkpoint"; readonly position: string }
  /** Ends before this position are lost: check the sessions that you serve. The watch goes on. */
  | { readonly kind: "reset"; readonly position: string };

export interface SessionWatchOptions {
  readonly connector: Connector;
  readonly client?: ServiceClientOptions;
  /** Of which sessions: all, or those that {@link SessionWatch.request} registered, issued or found Ok. */
  readonly scope: "all" | "known";
  /** The position to catch up from. Absent: from now on. */
  readonly after?: string;
  /** Told why the watch is interrupted: no connection, or the bridge refuses (`refused`). It tries again by itself. */
  readonly onInterrupted?: (reason: ConnectionError) => void;
}

/** With this many events waiting for the loop, the bridge is asked to stop; at half of it, to go on from the last of them. */
const MAX_WAITING_EVENTS = 10_000;

/** A bridge sends a packet on a watch every 10 s at least (docs/wire-protocol.md, "Watches"): three times that. */
const SILENCE_MS = 3 * 10_000;

/** A connection that lasted this long was in use: the next one is dialed nearly at once. */
const IN_USE_MS = 1_000;
const BACK_OFF = { redialMs: 100, backOffBaseMs: 250, backOffCapMs: 8_000 };

/** How many checks are sent at once after a reconnect: what a bridge puts into one batch. */
const CHECKS_AT_ONCE = 1_000;

/**
 * Tells which sessions end, across reconnects: `for await (const event of watch)`. Each event has the position behind it, from which
 * a later watch can go on (`after`). Events come in the log's order. An end comes again only if `after` is older than its position.
 *
 * With the scope `known`, ends of other sessions may come too, for example after a reconnect: ignore those that you do not serve.
 */
export class SessionWatch implements AsyncIterable<WatchEvent> {
  readonly #options: SessionWatchOptions;
  readonly #backOff = new BackOff(BACK_OFF, Math.random);
  readonly #stop = new AbortController();
  /** The sessions that a new connection must get to know. Empty with the scope `all`. */
  readonly #known = new Set<number>();
  #client: ServiceClient | undefined;
  /** The connection that knows the sessions. */
  #introduced: ServiceClient | undefined;
  /** Whose notices count. */
  #listener: NoticeListener | undefined;
  /** The bridge was asked to stop, because the loop is behind. */
  #isHeld = false;
  #silence: NodeJS.Timeout | undefined;
  /** The events that the loop has not taken. */
  readonly #waiting: WatchEvent[] = [];
  #wake: (() => void) | undefined;
  /** The position of the last event that was received. */
  #received: string | undefined;
  #position: string | undefined;

  private constructor(options: SessionWatchOptions) {
    this.#options = options;
    this.#received = options.after;
    this.#position = options.after;
  }

  /**
   * Connects, and starts the watch.
   *
   * @throws ConnectionError the bridge cannot be reached, or refuses the watch (`refused`)
   */
  static async open(options: SessionWatchOptions): Promise<SessionWatch> {
    const watch = new SessionWatch(options);
    const client = await watch.#connect();
    try {
      await watch.#start(client);
    } catch (error) {
      watch.close();
      throw error;
    }
    void watch.#keepWatching(client);
    return watch;
  }

  /** The position of the last event that the loop is done with: `after` of the next watch. */
  get position(): string | undefined {
    return this.#position;
  }

  /**
   * Sends a request over the watch's connection. With the scope `known`, a session that it finds Ok is watched from then on.
   *
   * @throws ConnectionError as ServiceClient.request; `closed` while there is no connection
   */
  async request<K extends ServiceRequest["kind"]>(
    request: ServiceRequest & { readonly kind: K },
  ): Promise<ServiceResponseTo<K>> {
    if (this.#client === undefined) throw new ConnectionError("closed", "there is no connection at the moment");
    const response = await this.#client.request<K>(request);
    if (this.#options.scope === "known") this.#learn(request, response);
    return response;
  }

  /** Ends the watch and its connection. The loop still gets the events that wait. */
  close(): void {
    this.#stop.abort();
    this.#client?.close();
    this.#wake?.();
  }

  /** The events, for one loop at a time. Leaving the loop closes the watch. */
  async *[Symbol.asyncIterator](): AsyncGenerator<WatchEvent, void, undefined> {
    try {
      for (;;) {
        const event = this.#waiting.shift();
        if (event !== undefined) {
          yield event;
          this.#position = event.position;
          this.#resume();
        } else if (this.#stop.signal.aborted) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.close();
    }
  }

  async #keepWatching(first: ServiceClient): Promise<void> {
    let client: ServiceClient | undefined = first;
    while (client !== undefined) {
      const startedMs = performance.now();
      const reason = await client.closed;
      this.#client = undefined;
      this.#stopListening();
      this.#interrupted(reason);
      const wasInUse = performance.now() - startedMs >= IN_USE_MS;
      if (wasInUse) this.#backOff.reset();
      await this.#pause(wasInUse ? this.#backOff.redialDelayMs() : this.#backOff.nextDelayMs());
      client = await this.#reconnect();
      if (client !== undefined) void this.#restart(client);
    }
  }

  /** Returns the new connection; undefined once the watch is closed. */
  async #reconnect(): Promise<ServiceClient | undefined> {
    while (!this.#stop.signal.aborted) {
      try {
        return await this.#connect();
      } catch (error) {
        await this.#retryLater(error);
      }
    }
    return undefined;
  }

  /** Starts the watch on this connection, however often it takes. Requests go on meanwhile. */
  async #restart(client: ServiceClient): Promise<void> {
    while (this.#client === client) {
      try {
        await this.#start(client);
        return;
      } catch (error) {
        // What ends the connection is told when it has ended.
        if (error instanceof ConnectionError && error.code !== "refused") return;
        await this.#retryLater(error);
      }
    }
  }

  async #connect(): Promise<ServiceClient> {
    const { connector, client: options } = this.#options;
    const { signal } = this.#stop;
    const client = await ServiceClient.open({ connector, signal, ...options });
    this.#client = client;
    return client;
  }

  async #start(client: ServiceClient): Promise<void> {
    if (this.#introduced !== client) await this.#introduce(client);
    this.#introduced = client;
    await this.#watch(client);
  }

  /**
   * Lets a new connection know the sessions. Their checks come after a WatchRequest, because a bridge remembers few sessions for a
   * connection that does not watch; and before the one that catches up, which tells of the ends of all sessions until then.
   */
  async #introduce(client: ServiceClient): Promise<void> {
    const sessids = [...this.#known];
    if (sessids.length === 0) return;
    const started = client.watch({ scope: "known", after: null }, () => {});
    for (let at = 0; at < sessids.length; at += CHECKS_AT_ONCE) {
      const checks = sessids.slice(at, at + CHECKS_AT_ONCE);
      await Promise.all([started.then(requireOk), ...checks.map((sessid) => this.#checkAgain(client, sessid))]);
    }
  }

  async #checkAgain(client: ServiceClient, sessid: number): Promise<void> {
    const response = await client.request({ kind: "check", sessid });
    if (response.status === Status.NotFound) this.#known.delete(sessid);
    else requireOk(response);
  }

  /** Starts the watch on this connection, or goes on with it, from the last event that was received. */
  async #watch(client: ServiceClient): Promise<void> {
    const { scope } = this.#options;
    const after = this.#received ?? null;
    // Notices can come in one chunk with the response, and so before this function goes on.
    const early: WatchNotice[] = [];
    let take = (notice: WatchNotice): void => void early.push(notice);
    const listener: NoticeListener = (notice) => {
      if (this.#listener === listener) take(notice);
    };
    this.#listener = listener;
    this.#isHeld = false;
    let response = await client.watch({ scope, after }, listener);
    const isReset = response.status === Status.NotFound;
    if (isReset) response = await client.watch({ scope, after: response.position }, listener);
    requireOk(response);
    const position = response.position ?? "";
    if (isReset) this.#push({ kind: "reset", position });
    else if (after === null) this.#push({ kind: "checkpoint", position });
    clearTimeout(this.#silence);
    // A connection that is dead does not respond to this either, and then it has ended.
    this.#silence = setTimeout(() => void this.#restart(client), SILENCE_MS);
    take = (notice) => this.#take(notice);
    for (const notice of early) listener(notice);
  }

  #take(notice: WatchNotice): void {
    this.#silence?.refresh();
    this.#backOff.reset();
    if (notice.kind === "ended") this.#known.delete(notice.sessid);
    this.#push(notice.kind === "ended" ? notice : { kind: notice.kind, position: notice.position });
  }

  #push(event: WatchEvent): void {
    this.#received = event.position;
    this.#waiting.push(event);
    this.#wake?.();
    if (this.#waiting.length < MAX_WAITING_EVENTS || this.#client === undefined) return;
    this.#stopListening();
    this.#isHeld = true;
    // If it fails, the connection has ended.
    this.#client.watch({ scope: "none", after: null }, () => {}).catch(() => {});
  }

  /** Goes on with a watch that {@link #push} has stopped, once the loop has caught up. */
  #resume(): void {
    const client = this.#client;
    if (client === undefined || !this.#isHeld || this.#waiting.length > MAX_WAITING_EVENTS / 2) return;
    this.#isHeld = false;
    void this.#restart(client);
  }

  /** Keeps the set as the bridge keeps its own: what is Ok is known, until its end. */
  #learn(request: ServiceRequest, response: ServiceResponse): void {
    if (response.status !== Status.Ok) return;
    if (response.kind === "issue") this.#known.add(response.sessid);
    else if (response.kind === "identify" && response.session !== null) this.#known.add(response.session.sessid);
    else if (request.kind === "delete") this.#known.delete(request.sessid);
    else if ("sessid" in request) this.#known.add(request.sessid);
  }

  #stopListening(): void {
    this.#listener = undefined;
    this.#isHeld = false;
    clearTimeout(this.#silence);
  }

  async #retryLater(error: unknown): Promise<void> {
    if (!(error instanceof ConnectionError)) throw error;
    this.#interrupted(error);
    await this.#pause(this.#backOff.nextDelayMs());
  }

  #interrupted(reason: ConnectionError): void {
    if (!this.#stop.signal.aborted) this.#options.onInterrupted?.(reason);
  }

  /** Returns early when the watch is closed. */
  async #pause(ms: number): Promise<void> {
    await wait(ms, undefined, { signal: this.#stop.signal }).catch(() => {});
  }
}

function requireOk({ kind, status }: { readonly kind: string; readonly status: Status }): void {
  if (status !== Status.Ok) throw new ConnectionError("refused", `the ${kind} is refused: ${statusName(status)}`);
}
