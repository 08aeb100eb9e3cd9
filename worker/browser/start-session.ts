import type { Context } from "hono";
import { Status } from "../../protocol/status.ts";
import { clientAddress } from "../http/client-address.ts";
import { cookieCredential } from "../http/client-token.ts";
import { setSessionCookie } from "../http/session-cookie.ts";
import { userOfAccount } from "./account-rules.ts";
import type { PageEnv } from "./visitor.ts";

/**
 * Logs an account in: a new session takes the place of the one that the browser showed, whose id stops working, so that an
 * id which somebody fixed or saw before the login is worth nothing after it. Without Ok the cookie is as it was.
 */
export async function startSession(c: Context<PageEnv>, account: string): Promise<Status> {
  const shown = await cookieCredential(c);
  // The old one goes first: at a cap on the user's sessions it makes room.
  const responses = await c
    .get("store")
    .run([
      ...(shown ? [{ kind: "delete", sessid: shown.sessid, secretHash: shown.secretHash } as const] : []),
      { kind: "issue", user: userOfAccount(account), ip: clientAddress(c, c.get("settings")) },
    ]);
  const issued = responses.at(-1);
  const isUncertain = responses.some(({ status }) => status === Status.Unavailable);
  if (issued?.kind !== "issue" || isUncertain) return Status.Unavailable;
  if (issued.status === Status.Ok) setSessionCookie(c, issued.token);
  return issued.status;
}
