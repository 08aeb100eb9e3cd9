import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { isBusy, type RedisConnection } from "./redis-connection.ts";

/** A script whose caller got an error may wait for so long behind another script. */
const SUSPECT_MS = 60_000;

/** The reply to SCRIPT KILL when the script has written: killing it would leave half of its writes. */
const UNKILLABLE = /^UNKILLABLE /;

/**
 * Kills scripts that keep Redis busy beyond their deadline. Redis runs a script to its end and replies BUSY to everybody else
 * after `busy-reply-threshold`; then anybody may kill the script. When a connection was lost before the reply to a script, and
 * the next connection gets BUSY, this kills the script: its caller already has an error. Redis does not say whose script it
 * runs, so it may kill a script of another program while ours waits behind it.
 */
export function killLostScripts(connection: RedisConnection, log: Logger): void {
  let killer: Redis | undefined;
  let isKilling = false;

  async function kill(): Promise<void> {
    // A busy Redis accepts neither SELECT nor INFO.
    killer ??= connection.client
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

  connection.client.on("error", (error: Error) => {
    if (isKilling || !isBusy(error.message) || performance.now() - connection.lostScriptAtMs > SUSPECT_MS) return;
    isKilling = true;
    kill()
      // The next connection that gets BUSY tries again.
      .catch(() => undefined)
      .finally(() => {
        isKilling = false;
      });
  });
}
