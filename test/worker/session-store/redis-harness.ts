import { inject } from "vitest";
import { RedisStore } from "../../../worker/session-store/redis-store.ts";
import type { SessionPolicy } from "../../../worker/session-store/session-store.ts";
import type { ProvidedKey } from "../../support/workerd/provided-context.ts";
import { redisIndexFaults } from "./redis-index-faults.ts";
import { PATIENT_DEADLINE_MS, type StoreHarness, testPolicy } from "./store-harness.ts";

/** Long enough that a session does not expire while a busy machine pauses, short enough to wait for its end. */
const IDLE_MS = 4000;
const POLL_MS = 20;
const REDIS_CONTROL_URL: ProvidedKey = "redisControlUrl";

export interface RedisHarness extends StoreHarness {
  readonly url: string;
  /** `<faultyUrl>/<fault>` is a REST API with that fault (test/support/faulty-rest.ts). */
  readonly faultyUrl: string;
  readonly token: string;
  /** Runs a command past redis-rest, as an administrator would. */
  command<Reply>(...command: string[]): Promise<Reply>;
  signal(name: "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Takes the work that an answer does not wait for; `settle` waits for it. */
  readonly background: (work: Promise<void>) => void;
  close(): Promise<void>;
}

/** Starts a real Redis with redis-rest in front; its clock is the machine's. */
export async function startRedisHarness(): Promise<RedisHarness> {
  const controlUrl = inject(REDIS_CONTROL_URL);
  const started = await call<{ id: string; url: string; faultyUrl: string; token: string }>(controlUrl, "POST");
  const { id, url, token } = started;
  const works: Promise<void>[] = [];

  const harness: RedisHarness = {
    ...started,
    idleMs: IDLE_MS,
    isClockControlled: false,
    open: (policy?: Partial<SessionPolicy>) =>
      new RedisStore({
        url,
        token,
        policy: testPolicy(IDLE_MS, policy),
        background: harness.background,
        deadlineMs: PATIENT_DEADLINE_MS,
      }),
    async now() {
      const [seconds, microseconds] = await harness.command<[string, string]>("TIME");
      return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
    },
    async advance(ms) {
      const until = (await harness.now()) + ms;
      while ((await harness.now()) < until) await scheduler.wait(POLL_MS);
    },
    async settle() {
      await Promise.all(works.splice(0));
    },
    faults: () => redisIndexFaults(harness),
    async clear() {
      await harness.settle();
      await harness.command("FLUSHALL");
    },
    command: (...command) => call(`${controlUrl}/${id}/command`, "POST", command),
    signal: (name) => call(`${controlUrl}/${id}/signal`, "POST", name),
    background: (work) => void works.push(work),
    close: () => call(`${controlUrl}/${id}`, "DELETE"),
  };
  return harness;
}

async function call<Reply>(url: string, method: string, body: unknown = null): Promise<Reply> {
  const response = await fetch(url, { method, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}
