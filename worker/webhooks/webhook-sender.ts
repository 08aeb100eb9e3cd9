import { DurableObject } from "cloudflare:workers";
import { type IsolateBindings, openIsolate, type WebhookCalls } from "../isolate.ts";
import { type LogPage, MAX_LOG_PAGE, type SessionEvent } from "../session-store/session-log.ts";
import { type SessionStore, STORE_DEADLINE_MS, settledWithin } from "../session-store/session-store.ts";
import { OutboxTable } from "./outbox-table.ts";
import type { WebhookMessage } from "./webhook-message.ts";
import { WebhookOutbox, type WebhookStatus } from "./webhook-outbox.ts";
import { WebhookPoster } from "./webhook-poster.ts";

/** Every write in this time after a read pokes. The log is polled several times in it (POLL_MS). */
const WATCH_MS = 60_000;

/** The same line is logged at most once in this time. */
const LOG_INTERVAL_MS = 60_000;

/** What the receiver is told of. */
const ENDS: ReadonlySet<SessionEvent["kind"]> = new Set(["ended"]);

/**
 * Sends the ends of sessions to WEBHOOK_URL (docs/webhooks.md): an instance of {@link WebhookOutbox} with its storage, its clock, the
 * session log and the receiver. An isolate pokes it when it opens, and from then on its alarm keeps it going.
 */
export class WebhookSender extends DurableObject<IsolateBindings> implements WebhookCalls {
  readonly #store: SessionStore;
  /** Null without a receiver. */
  readonly #outbox: WebhookOutbox | null;
  /** The read that began last. */
  #read: Promise<void> = Promise.resolve();
  /** When the alarm is set to, at the latest. */
  #alarmAt = Number.POSITIVE_INFINITY;
  readonly #loggedMs = new Map<string, number>();

  constructor(ctx: DurableObjectState, env: IsolateBindings) {
    super(ctx, env);
    const { store, config } = openIsolate(env);
    this.#store = store;
    this.#outbox = config.webhook && this.#openOutbox(new WebhookPoster(config.webhook));
  }

  /** There is something new in the log, or nothing was sent yet. Resolves when the log has been read from this moment on. */
  async poke(): Promise<void> {
    await this.#tell((outbox) => outbox.poked(Date.now()));
    await this.#read;
    // If a read was in flight, another has followed it.
    await this.#read;
  }

  override async alarm(): Promise<void> {
    this.#alarmAt = Number.POSITIVE_INFINITY;
    await this.#tell((outbox) => outbox.tick(Date.now()));
  }

  async status(): Promise<WebhookStatus> {
    return this.#outbox?.status ?? { state: "off", held: 0, behind: false, oldestAt: null, lastError: null };
  }

  #openOutbox(poster: WebhookPoster): WebhookOutbox {
    const table = new OutboxTable(this.ctx.storage.sql);
    const outbox = new WebhookOutbox(table, {
      read: (after) => {
        this.#read = this.#readLog(after);
        this.ctx.waitUntil(this.#read);
      },
      send: (message) => this.ctx.waitUntil(this.#send(poster, message)),
      warn: (text) => this.#warn(text),
    });
    if (table.replaceReceiver(poster.digest)) outbox.renew();
    return outbox;
  }

  /** Gives the outbox an input, and sets the alarm by what it says then. Without a receiver everything is forgotten. */
  async #tell(input: (outbox: WebhookOutbox) => void): Promise<void> {
    const { storage } = this.ctx;
    if (this.#outbox === null) {
      await storage.deleteAlarm();
      return storage.deleteAll();
    }
    input(this.#outbox);
    const wakeAt = this.#outbox.wakeAt(Date.now());
    if (wakeAt === null) {
      this.#alarmAt = Number.POSITIVE_INFINITY;
      await storage.deleteAlarm();
    } else if (wakeAt < this.#alarmAt) {
      this.#alarmAt = wakeAt;
      await storage.setAlarm(wakeAt);
    }
  }

  async #readLog(after: string | null): Promise<void> {
    const read = this.#store.readLog({ after, limit: MAX_LOG_PAGE, kinds: ENDS, watchMs: WATCH_MS });
    const page = await settledWithin<LogPage>(2 * STORE_DEADLINE_MS, read);
    await this.#tell((outbox) => outbox.readDone(page ?? { kind: "unavailable" }, Date.now()));
  }

  async #send(poster: WebhookPoster, message: WebhookMessage): Promise<void> {
    const outcome = await poster.post(message);
    await this.#tell((outbox) => outbox.sendDone(message.id, outcome, Date.now()));
  }

  #warn(text: string): void {
    const nowMs = Date.now();
    if (nowMs - (this.#loggedMs.get(text) ?? 0) < LOG_INTERVAL_MS) return;
    this.#loggedMs.set(text, nowMs);
    // biome-ignore lint/suspicious/noConsole: a Worker's log is its console
    console.warn(text);
  }
}
