import type { Context } from "hono";
import { clientAddress, networkKey } from "../http/client-address.ts";
import { type Account, Accounts } from "./accounts.ts";
import { comparePassword, type HasherBusy } from "./ask-password-hasher.ts";
import { type KnownDevice, knownDevice } from "./device-cookie.ts";
import { beginLogin } from "./login-limit.ts";
import type { PageEnv } from "./visitor.ts";

/** Whether somebody knows an account's password. */
export type PasswordProof =
  | {
      readonly kind: "right";
      readonly account: Account;
      /** To take the place of the account's hash, where that was made with other parameters than today's. */
      readonly newHash?: string;
      /** The browser's device, if the account has logged in on it before. */
      readonly device?: KnownDevice | undefined;
    }
  /** Or there is no such account, or it is disabled: which of these, nobody is told. */
  | { readonly kind: "wrong" }
  /** Too many tries: the password was not compared. */
  | { readonly kind: "wait"; readonly seconds: number }
  | HasherBusy;

/**
 * Compares a password with an account's, within the limits on tries (login-limit.ts); wherever an account's password is
 * asked for, it is asked for here.
 *
 * @param name in the spelling of account-rules.ts
 */
export async function provePassword(c: Context<PageEnv>, name: string, password: string): Promise<PasswordProof> {
  const { settings } = c.var;
  const accounts = new Accounts(c.env.DB);
  const device = await knownDevice(c, () => accounts.find(name));
  const address = clientAddress(c, settings);
  const origin = { address, device: device?.id };
  const attempt = await beginLogin(c.env, settings.login, name, origin);
  if (attempt.kind === "wait") return attempt;
  const account = await accounts.find(name);
  const verdict = await comparePassword(c.env.PASSWORD_HASHER, password, {
    phc: account?.passwordHash,
    knownDevice: device !== undefined,
    from: networkKey(address),
  });
  if (verdict.kind === "busy") {
    await attempt.takeBack();
    return verdict;
  }
  if (account === null || account.disabled || !verdict.matches) {
    await attempt.settle();
    return { kind: "wrong" };
  }
  await attempt.takeBack();
  return { kind: "right", account, device, ...(verdict.newHash !== undefined && { newHash: verdict.newHash }) };
}
