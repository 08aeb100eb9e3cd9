import type { Context } from "hono";
import type { Session } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status.ts";
import type { AppEnv } from "../app-env.ts";
import { runOne } from "../session-store/run-one.ts";
import type { ClientCredential } from "./client-token.ts";

/** Whose session a token is, where that is known from, and how old it is. */
export interface Identity {
  /** null: there is no such session, or, Unavailable, that is not known. */
  readonly session: Session | null;
  readonly status: typeof Status.Ok | typeof Status.NotFound | typeof Status.Unavailable;
  readonly source: "store" | "edge";
  readonly ageSeconds: number;
}

/** Identifies a client from the isolate's memory if that is at most `maxAgeSeconds` old, otherwise from the store. */
export async function identifyClient(
  c: Context<AppEnv>,
  { sessid, secretHash }: ClientCredential,
  maxAgeSeconds: number,
): Promise<Identity> {
  const memory = c.get("memory");
  const now = Date.now();
  const known = memory.recall(sessid, secretHash, maxAgeSeconds * 1000, now);
  if (known !== undefined) {
    const ageSeconds = Math.floor((now - known.askedAt) / 1000);
    return { session: known.session, status: Status.Ok, source: "edge", ageSeconds };
  }
  const inquiry = memory.inquire(sessid, now);
  const { status, session } = await runOne(c.get("store"), { kind: "identify", sessid, secretHash });
  memory.learn(inquiry, session, secretHash);
  if (status === Status.Unavailable) return { session: null, status, source: "edge", ageSeconds: 0 };
  return { session, status: session === null ? Status.NotFound : Status.Ok, source: "store", ageSeconds: 0 };
}
