import type { Session } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { Isolate } from "../isolate.ts";
import { hashSecret } from "../session-store/secrets.ts";
import { runOne } from "../session-store/session-store.ts";
import type { ShownToken } from "./client-credential.ts";

/** Whose session a token is, where that is known from, and how old it is. */
export interface Identity {
  /** null: there is no such session, or, Unavailable, that is not entry. */
  readonly session: Session | null;
  readonly status: typeof Status.Ok | typeof Status.NotFound | typeof Status.Unavailable;
  readonly source: "store" | "edge";
  readonly ageSeconds: number;
}

/** Identifies a client by the cache, if that has an entry at most `maxAgeSeconds` old. */
export function recallClient(
  { cache }: Isolate,
  { sessid, secret }: ShownToken,
  maxAgeSeconds: number,
): Identity | undefined {
  // Most callers accept no age.
  if (maxAgeSeconds === 0) return undefined;
  const now = Date.now();
  const entry = cache.get(sessid, secret, maxAgeSeconds * 1000, now);
  if (entry === undefined) return undefined;
  const ageSeconds = Math.floor((now - entry.askedAt) / 1000);
  return { session: entry.session, status: Status.Ok, source: "edge", ageSeconds };
}

/** Identifies a client by the store, and caches its session. */
export async function identifyClient({ cache, store }: Isolate, { sessid, secret }: ShownToken): Promise<Identity> {
  const lookup = cache.begin(sessid, Date.now());
  const secretHash = await hashSecret(secret);
  const { status, session } = await runOne(store, { kind: "identify", sessid, secretHash });
  cache.put(lookup, session, secret);
  if (status === Status.Unavailable) return { session: null, status, source: "edge", ageSeconds: 0 };
  return { session, status: session === null ? Status.NotFound : Status.Ok, source: "store", ageSeconds: 0 };
}
