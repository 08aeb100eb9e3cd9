import { waitUntil } from "cloudflare:workers";
import { Poke } from "./coalesced-call.ts";
import { parseWorkerConfig, type WorkerConfig } from "./config.ts";
import { BodyIntake } from "./http/form-body.ts";
import { Acknowledgements, type Acknowledging } from "./leases/acknowledgements.ts";
import { CoalescingStore } from "./session-store/coalescing-store.ts";
import type { EmbeddedSessions } from "./session-store/embedded/embedded-sessions.ts";
import { EmbeddedStore } from "./session-store/embedded/embedded-store.ts";
import { RedisStore } from "./session-store/redis/redis-store.ts";
import { CacheInvalidatingStore, SessionCache } from "./session-store/session-cache.ts";
import { type AwaitAcknowledgements, WATCHERS } from "./session-store/session-log.ts";
import { type SessionStore, settledWithin } from "./session-store/session-store.ts";
import type { WebhookStatus } from "./webhooks/webhook-outbox.ts";

/** The worker's bindings that an isolate uses. */
export interface IsolateBindings {
  readonly EMBEDDED_SESSIONS: DurableObjectNamespace<EmbeddedSessions>;
  readonly SESSION_HUB: DurableObjectNamespace<Acknowledging>;
  readonly EVENT_HUB: DurableObjectNamespace<EventHubCalls>;
  readonly WEBHOOKS: DurableObjectNamespace<WebhookCalls>;
}

/** The event hub as isolates and rooms call it (events/event-hub.ts, which this file cannot import). */
export interface EventHubCalls extends Rpc.DurableObjectBranded {
  /** There is something new in the log. Resolves when the hub has read what the log had when it was called. */
  poke(): Promise<void>;
  /**
   * `more`: the room is to hear of ends and changes of these sessions too; `all`: of these and no others. When it resolves, the hub
   * watches; what became of them before, the room must ask the store.
   */
  watchRoom(room: string, sessids: readonly number[], which: "more" | "all"): Promise<void>;
}

/** The sender of webhooks as isolates call it (webhooks/webhook-sender.ts, which this file cannot import). */
export interface WebhookCalls extends Rpc.DurableObjectBranded {
  /** There is something new in the log, or the sender may have to begin. Resolves when it has read what the log had when it was called. */
  poke(): Promise<void>;
  status(): Promise<WebhookStatus>;
}

/** What an isolate opens once, for its requests and its Durable Objects. */
export interface Isolate {
  readonly config: WorkerConfig;
  readonly store: SessionStore;
  /** The sessions with which `/v1/check` may respond without a request to the store. */
  readonly cache: SessionCache;
  /** Receives the bodies of clients that have shown no credential. */
  readonly intake: BodyIntake;
}

/** Enough for a poke's read of the log. */
const POKE_DEADLINE_MS = 1000;

/** An isolate's environment does not change, so it is parsed once. */
const isolates = new WeakMap<IsolateBindings, Isolate>();

/** The isolate's config, store and caches. Throws ConfigError: 503 `not_configured` with the variable's name. */
export function openIsolate(bindings: IsolateBindings): Isolate {
  const opened = isolates.get(bindings);
  if (opened !== undefined) return opened;
  const config = parseWorkerConfig(bindings);
  const cache = new SessionCache();
  const { maxSessionsPerUser, limitPolicy } = config.policy;
  const evicts = maxSessionsPerUser > 0 && limitPolicy === "evict-oldest";
  const store = new CacheInvalidatingStore(openStore(config, bindings), cache, evicts);
  const isolate = { config, store, cache, intake: new BodyIntake(config.forms) };
  isolates.set(bindings, isolate);
  // Somebody must begin; from then on the sender's alarm keeps it going.
  if (config.webhook !== null) waitUntil(pokeWebhooks(bindings));
  return isolate;
}

/** All bridges of a worker are connected to the object of this name. */
export function openHub({ SESSION_HUB }: IsolateBindings): DurableObjectStub<Acknowledging> {
  return SESSION_HUB.getByName("hub");
}

/** All listeners and rooms of a worker hear from the object of this name. */
export function openEventHub({ EVENT_HUB }: Pick<IsolateBindings, "EVENT_HUB">): DurableObjectStub<EventHubCalls> {
  return EVENT_HUB.getByName("events");
}

/** The ends of sessions are sent by the object of this name. */
export function openWebhooks({ WEBHOOKS }: Pick<IsolateBindings, "WEBHOOKS">): DurableObjectStub<WebhookCalls> {
  return WEBHOOKS.getByName("webhooks");
}

/** Lets the sender of webhooks begin, or go on. It does not reject. */
export async function pokeWebhooks(bindings: IsolateBindings): Promise<void> {
  await settledWithin(POKE_DEADLINE_MS, (async () => openWebhooks(bindings).poke())());
}

function openStore(config: WorkerConfig, bindings: IsolateBindings): SessionStore {
  const { store, policy, logEntries, revocationBoundMs, webhook } = config;
  const acknowledgements = new Acknowledgements({
    hub: () => openHub(bindings),
    boundMs: revocationBoundMs,
    background: waitUntil,
  });
  const watchers = [() => openEventHub(bindings), ...(webhook === null ? [] : [() => openWebhooks(bindings)])];
  const pokes = watchers.map(
    (watcher) => new Poke({ call: () => watcher().poke(), deadlineMs: POKE_DEADLINE_MS, background: waitUntil }),
  );
  const awaitAcknowledgements: AwaitAcknowledgements = (leases) => {
    // A poke that fails is made up for by the next, and by what watchers read without one.
    if (leases.has(WATCHERS)) for (const poke of pokes) poke.ask();
    return acknowledgements.wait(leases);
  };
  const common = { policy, logEntries, awaitAcknowledgements };
  const opened =
    store.kind === "embedded"
      ? new EmbeddedStore({ ...common, namespace: bindings.EMBEDDED_SESSIONS })
      : new RedisStore({ ...common, ...store, background: waitUntil });
  // One request waits for what another one resolves: vitest's runtime alone is told not to let it.
  const mayCoalesce = Cloudflare.compatibilityFlags["handle_cross_request_promise_resolution"] === true;
  return mayCoalesce ? new CoalescingStore({ store: opened, background: waitUntil }) : opened;
}
