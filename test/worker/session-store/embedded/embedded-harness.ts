import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Bindings } from "../../../../worker/app-env.ts";
import { EmbeddedStore } from "../../../../worker/session-store/embedded/embedded-store.ts";
import { PATIENT_DEADLINE_MS, type StoreHarness, testPolicy } from "../store-harness.ts";

const IDLE_MS = 1_800_000;
const START_MS = 1_763_700_000_000;
/** Later than the end of every lease of any test. */
const BEYOND_LEASES_MS = 4_000_000_000_000;

/** The object that the store's sessions are in. */
export function embeddedObject() {
  return (env as unknown as Bindings).EMBEDDED_SESSIONS.getByName("sessions");
}

/** The embedded store with a clock that stands still. */
export function createEmbeddedHarness(): StoreHarness {
  let nowMs = START_MS;
  const namespace = (env as unknown as Bindings).EMBEDDED_SESSIONS;

  return {
    idleMs: IDLE_MS,
    isClockStill: true,
    open: (policy, options) =>
      new EmbeddedStore({
        namespace,
        policy: testPolicy(IDLE_MS, policy),
        deadlineMs: PATIENT_DEADLINE_MS,
        ...options,
      }),
    now: async () => nowMs,
    async advance(ms) {
      nowMs += ms;
    },
    settle: () => runInDurableObject(embeddedObject(), (object) => object.applyTouches()),
    // SQLite keeps its own indices.
    faults: async () => [],
    async clear() {
      await runInDurableObject(embeddedObject(), (object, state) => {
        object.applyTouches();
        // The object has the leases of earlier tests in memory until they have run out.
        object.nowMs = () => BEYOND_LEASES_MS;
        object.endSome(1);
        object.nowMs = () => nowMs;
        state.storage.sql.exec("DELETE FROM sessions; DELETE FROM log; DELETE FROM leases; DELETE FROM watch");
      });
    },
  };
}
