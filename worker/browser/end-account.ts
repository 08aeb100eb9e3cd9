import { Status } from "../../protocol/status-codes.ts";
import { runOne } from "../session-store/run-one.ts";
import type { SessionStore } from "../session-store/session-store.ts";
import { userOfAccount } from "./account-rules.ts";

/** Ends all sessions of an account; how many those were, undefined if the store cannot be asked. */
export async function endAccountSessions(store: SessionStore, name: string): Promise<number | undefined> {
  const { status, deleted } = await runOne(store, { kind: "deleteUser", user: userOfAccount(name) });
  return status === Status.Ok ? deleted : undefined;
}

/** What came of deleting an account. Unavailable: not all is done; doing it again is safe. */
export type AccountEnd =
  | { readonly kind: "deleted"; readonly sessionsEnded: number }
  | { readonly kind: "not_found" }
  | { readonly kind: "unavailable" };

/**
 * Deletes an account and ends its sessions. They end first, so that an account whose sessions live on is never deleted, and
 * again afterwards, for a login may have come between.
 *
 * @param remove deletes the account; false if there is none
 */
export async function endAccount(
  store: SessionStore,
  name: string,
  remove: () => Promise<boolean>,
): Promise<AccountEnd> {
  const before = await endAccountSessions(store, name);
  if (before === undefined) return { kind: "unavailable" };
  const existed = await remove();
  const after = await endAccountSessions(store, name);
  if (after === undefined) return { kind: "unavailable" };
  return existed ? { kind: "deleted", sessionsEnded: before + after } : { kind: "not_found" };
}
