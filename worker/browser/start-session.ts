import type { Context } from "hono";
import { splitToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import { clientAddress } from "../http/client-address.ts";
import { cookieCredential } from "../http/client-token.ts";
import { setSessionCookie } from "../http/session-cookie.ts";
import { runOne } from "../session-store/run-one.ts";
import { userOfAccount } from "./account-rules.ts";
import { type Account, Accounts } from "./accounts.ts";
import { type KnownDevice, rememberDevice } from "./device-cookie.ts";
import type { PageEnv } from "./visitor.ts";

export interface SessionStart {
  /** The password's hash, made anew with today's parameters. */
  readonly newHash?: string | undefined;
  /** Whether all sessions end that the account has. */
  readonly endsOthers?: boolean;
  /** The browser's device, where it was known before. */
  readonly device?: KnownDevice | undefined;
}

/**
 * Logs an account in: a new session takes the place of the one that the browser showed, whose id stops working, so that an
 * id which somebody fixed or saw before the login is worth nothing after it. The browser's device is known from now on. Without Ok the
 * cookies are as they were.
 *
 * Who changes, disables or deletes an account writes that first and ends its sessions then. Here the session comes first
 * and a look at the account then: one of the two sees the other. Denied: the account is not any more what it was when
 * `account` was read.
 */
export async function startSession(
  c: Context<PageEnv>,
  account: Account,
  { newHash, endsOthers = false, device }: SessionStart = {},
): Promise<Status> {
  const { store, settings } = c.var;
  const user = userOfAccount(account.name);
  const shown = await cookieCredential(c);
  // The old one goes first: at a cap on the user's sessions it makes room.
  const responses = await store.run([
    ...(shown ? [{ kind: "delete", sessid: shown.sessid, secretHash: shown.secretHash } as const] : []),
    ...(endsOthers ? [{ kind: "deleteUser", user } as const] : []),
    { kind: "issue", user, ip: clientAddress(c, settings), grants: account.grants ?? settings.web.grants },
  ]);
  const issued = responses.at(-1);
  const isUncertain = responses.some(({ status }) => status === Status.Unavailable);
  if (issued?.kind !== "issue" || isUncertain) return Status.Unavailable;
  if (issued.status !== Status.Ok) return issued.status;
  if (!(await new Accounts(c.env.DB).recordLogin(account, Date.now(), newHash))) {
    const { sessid } = splitToken(issued.token);
    const { status } = await runOne(store, { kind: "delete", sessid, user });
    return status === Status.Unavailable ? status : Status.Denied;
  }
  await rememberDevice(c, account, device);
  setSessionCookie(c, issued.token);
  return Status.Ok;
}
