import { MAX_USER_BYTES, WEB_USER_PREFIX } from "../../protocol/service-packets.ts";

const MAX_NAME_CHARACTERS = 32;

/** What the session's user leaves beside its prefix. */
const MAX_NAME_BYTES = MAX_USER_BYTES - WEB_USER_PREFIX.length;

/** NIST SP 800-63B-4 §3.1.1.2 asks for no rules of composition, a lower bound and room for a sentence. */
const MIN_PASSWORD_CHARACTERS = 8;
const MAX_PASSWORD_CHARACTERS = 256;

/** What the sign-up page says beside its fields, and again when a field breaks the rule. */
export const NAME_RULE = `1 to ${MAX_NAME_CHARACTERS} letters or digits; "." "_" and "-" are allowed after the first.`;
export const PASSWORD_RULE = `${MIN_PASSWORD_CHARACTERS} to ${MAX_PASSWORD_CHARACTERS} characters, any you like.`;

const NAME = new RegExp(`^[\\p{L}\\p{N}][\\p{L}\\p{N}\\p{M}._-]{0,${MAX_NAME_CHARACTERS - 1}}$`, "u");

/**
 * The one spelling of an account's name, or undefined if no account can have it: letters and digits of any script, without
 * regard to case or to how the keyboard composed them, so that nobody signs up as a look-alike of `kim` with `KIM`.
 */
export function accountName(typed: string): string | undefined {
  // Normalising is not free: what is far too long is refused as it is.
  if (typed.length > 4 * MAX_NAME_CHARACTERS) return undefined;
  // Lower case may compose anew (a Greek capital before U+0345): an operator's spelling of a name must come out as that name.
  const name = typed.trim().normalize("NFKC").toLowerCase().normalize("NFKC");
  const isAllowed = NAME.test(name) && new TextEncoder().encode(name).length <= MAX_NAME_BYTES;
  return isAllowed ? name : undefined;
}

/** Whether somebody may sign up with this password. */
export function isAllowedPassword(password: string): boolean {
  return password.length >= MIN_PASSWORD_CHARACTERS && password.length <= MAX_PASSWORD_CHARACTERS;
}

/** Whether a password is worth hashing: no account has a longer one. */
export function canBePassword(password: string): boolean {
  return password.length <= MAX_PASSWORD_CHARACTERS;
}

/** The session's user that an account is. */
export function userOfAccount(name: string): string {
  return WEB_USER_PREFIX + name;
}

/** The account that a session's user is, or undefined for the user of a service. */
export function accountOfUser(user: string): string | undefined {
  return user.startsWith(WEB_USER_PREFIX) ? user.slice(WEB_USER_PREFIX.length) : undefined;
}
