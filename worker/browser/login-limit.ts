import type { Bindings } from "../app-env.ts";
import { addressKey } from "../http/client-address.ts";

/** The window of the LOGIN_* bindings in wrangler.toml: nobody who stops trying is kept out for longer. */
export const LOGIN_WINDOW_SECONDS = 60;

type LoginLimits = Pick<
  Bindings,
  "LOGIN_ADDRESS_LIMIT" | "LOGIN_USER_LIMIT" | "LOGIN_USER_AT_ADDRESS_LIMIT" | "LOGIN_SPARE_LIMIT"
>;

/**
 * Whether a password may be tried now; asked before it is hashed, so that guessing costs the server little. Limited are an
 * address, a user at an address, and a user from everywhere. Beyond the last, every address has still one spare try a
 * minute: many who guess a name's password cannot keep its owner out.
 *
 * @param name the account's name, existing or not
 */
export async function mayTryPassword(limits: LoginLimits, name: string, address: string | null): Promise<boolean> {
  const from = addressKey(address);
  const userAtAddress = JSON.stringify([name, from]);
  if (!(await mayAddressTry(limits, address))) return false;
  if (!(await limits.LOGIN_USER_AT_ADDRESS_LIMIT.limit({ key: userAtAddress })).success) return false;
  if ((await limits.LOGIN_USER_LIMIT.limit({ key: name })).success) return true;
  return (await limits.LOGIN_SPARE_LIMIT.limit({ key: userAtAddress })).success;
}

/** Whether an address may have one more password hashed: for sign-ups, which have no user yet. */
export async function mayAddressTry(limits: Pick<LoginLimits, "LOGIN_ADDRESS_LIMIT">, address: string | null) {
  return (await limits.LOGIN_ADDRESS_LIMIT.limit({ key: addressKey(address) })).success;
}
