let known: Promise<ReadonlySet<string>> | undefined;

/**
 * Whether everybody uses this password, so that it is tried first: one of the 49,000 that zxcvbn-ts has gathered from what
 * was stolen elsewhere (OWASP ASVS 5.0, 6.2.4), in any case and composition.
 */
export async function isCommonPassword(password: string): Promise<boolean> {
  known ??= load();
  return (await known).has(password.normalize("NFKC").trim().toLowerCase());
}

/** Unpacked when the first password is chosen, for logins need none of it. */
async function load(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import("@zxcvbn-ts/language-common");
  return new Set(dictionary["passwords-common"]);
}
