import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { isBusy, lostScriptAtMs } from "./redis-connection.ts";

/** A script whose caller was told so long ago that it took too long may still wait its turn at Redis behind another. */
const SUSPECT_MS = 60_000;

/** Redis answers this to SCRIPT KILL when the script has written: to kill it would leave half of what it does. */
const UNKILLABLE = /^UNKILLABLE /;

/**
 * Ends scripts that keep Redis busy beyond their deadline. Redis runs a script to its end, answers BUSY to everybody else
 * after `busy-reply-threshold`, and lets it be killed by who asks for it. So when a connection was lost while Redis owed it
 * the reply to a script, and the next one is told BUSY, that script is killed: its caller has had its error. Redis does not
 * say whose script it runs, so another program's may be meant while ours waits behind it.
 */
export function killLostScripts(redis: Redis, log: Logger): void {
  let killer: Redis | undefined;
  let isKilling = false;

  async function kill(): Promise<void> {
    // Whoever is busy knows no databases and answers no INFO.
    killer ??= redis
      .duplicate({ enableReadyCheck: false, db: 0, lazyConnect: true, retryStrategy: null, disableClientInfo: true })
      .on("error", () => undefined);
    await killer.connect();
    try {
      const replies = await Promise.allSettled([killer.call("SCRIPT", "KILL"), killer.call("FUNCTION", "KILL")]);
      if (replies.some(({ status }) => status === "fulfilled")) log.warn("killed a script that kept Redis busy");
      if (replies.some((reply) => reply.status === "rejected" && UNKILLABLE.test(String(reply.reason?.message)))) {
        log.error("a script that has written keeps Redis busy; Redis can't kill it but by SHUTDOWN NOSAVE");
      }
    } finally {
      killer.disconnect();
    }
  }

  redis.on("error", (error: Error) => {
    if (isKilling || !isBusy(error.message) || performance.now() - lostScriptAtMs(redis) > SUSPECT_MS) return;
    isKilling = true;
    kill()
      // Redis is asked again when the next connection is told BUSY.
      .catch(() => undefined)
      .finally(() => {
        isKilling = false;
      });
  });
}
