import type { Session } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { runOne } from "../session-store/run-one.ts";
import { hashSecret } from "../session-store/secret-hash.ts";
import type { ShownToken } from "./client-credential.ts";
import type { Opened } from "./open-store.ts";

/** Whose session a token is, where that is known from, and how old it is. */
export interface Identity {
  /** null: there is no such session, or, Unavailable, that is not known. */
  readonly session: Session | null;
  readonly status: typeof Status.Ok | typeof Status.NotFound | typeof Status.Unavailable;
  readonly source: "store" | "edge";
  readonly ageSeconds: number;
}

/** What the isolate remembers of a client, if it is at most `maxAgeSeconds` old. */
export function recallClient(
  { memory }: Opened,
  { sessid, secret }: ShownToken,
  maxAgeSeconds: number,
): Identity | undefined {
  // Most callers take no age.
  if (maxAgeSeconds === 0) return undefined;
  const now = Date.now();
  const known = memory.recall(sessid, secret, maxAgeSeconds * 1000, now);
  if (known === undefined) return undefined;
  const ageSeconds = Math.floor((now - known.askedAt) / 1000);
  return { session: known.session, status: Status.Ok, source: "edge", ageSeconds };
}

/** Identifies a client by the store, and remembers what it says. */
export async function identifyClient({ memory, store }: Opened, { sessid, secret }: ShownToken): Promise<Identity> {
  const inquiry = memory.inquire(sessid, Date.now());
  const secretHash = await hashSecret(secret);
  const { status, session } = await runOne(store, { kind: "identify", sessid, secretHash });
  memory.learn(inquiry, session, secret);
  if (status === Status.Unavailable) return { session: null, status, source: "edge", ageSeconds: 0 };
  return { session, status: session === null ? Status.NotFound : Status.Ok, source: "store", ageSeconds: 0 };
}
