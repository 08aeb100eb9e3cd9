import { scrypt, timingSafeEqual } from "node:crypto";

/** scrypt's parameters: N = 2^log2N, r, p. It needs 128 * N * r bytes of memory. */
export interface ScryptCost {
  readonly log2N: number;
  readonly r: number;
  readonly p: number;
}

/**
 * What new hashes are made with: N=2^14 r=8 p=5, one of the equal choices of OWASP's Password Storage Cheat Sheet, and the
 * one whose 16 MiB leave room in the 128 MiB of a Worker. Raise it here: each account follows at its next login.
 */
export const CURRENT_COST: ScryptCost = { log2N: 14, r: 8, p: 5 };

/** How a password compares with a stored hash. */
export interface PasswordVerdict {
  readonly matches: boolean;
  /** Whether the hash was made with other parameters than today's, and should be made anew. */
  readonly outdated: boolean;
}

const SALT_BYTES = 16;
const KEY_BYTES = 32;

interface ParsedHash {
  readonly cost: ScryptCost;
  readonly salt: Uint8Array;
  readonly key: Uint8Array;
}

/** The password's salted hash as a PHC string: `$scrypt$ln=14,r=8,p=5$salt$key`, base64 without padding. */
export async function hashPassword(password: string, cost: ScryptCost = CURRENT_COST): Promise<string> {
  const salt = crypto.getRandomValues(new Uint8Array(SALT_BYTES));
  const key = await derive(password, salt, cost);
  return `$scrypt$ln=${cost.log2N},r=${cost.r},p=${cost.p}$${toBase64(salt)}$${toBase64(key)}`;
}

/**
 * Compares a password with a PHC string of {@link hashPassword}, in constant time. Without a hash, and with one that
 * cannot be read, it works as long as for a wrong password and does not match: the time does not tell who has an account.
 * `currentCost` is what new hashes are made with.
 */
export async function verifyPassword(
  password: string,
  phc: string | undefined,
  currentCost: ScryptCost = CURRENT_COST,
): Promise<PasswordVerdict> {
  const stored = phc === undefined ? undefined : parseHash(phc);
  const { cost, salt, key } = stored ?? {
    cost: currentCost,
    salt: new Uint8Array(SALT_BYTES),
    key: new Uint8Array(KEY_BYTES),
  };
  const isEqual = timingSafeEqual(await derive(password, salt, cost), key);
  const isCurrent = cost.log2N === currentCost.log2N && cost.r === currentCost.r && cost.p === currentCost.p;
  return { matches: stored !== undefined && isEqual, outdated: !isCurrent };
}

function derive(password: string, salt: Uint8Array, { log2N, r, p }: ScryptCost): Promise<Uint8Array> {
  const N = 2 ** log2N;
  // One keyboard may compose what another sends decomposed (NIST SP 800-63B-4 §3.1.1.2).
  const bytes = new TextEncoder().encode(password.normalize("NFKC"));
  // The memory it takes is 128 * N * r and a little more.
  const options = { N, r, p, maxmem: 256 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(bytes, salt, KEY_BYTES, options, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

function parseHash(phc: string): ParsedHash | undefined {
  const parts = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})$/.exec(
    phc,
  );
  if (parts === null) return undefined;
  const [, log2N = "", r = "", p = "", salt = "", key = ""] = parts;
  return {
    cost: { log2N: Number(log2N), r: Number(r), p: Number(p) },
    salt: fromBase64(salt),
    key: fromBase64(key),
  };
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("=", "");
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

let commonPasswords: Promise<ReadonlySet<string>> | undefined;

/**
 * Whether the password is common, in any case and composition: one of the 49,000 that zxcvbn-ts has collected from leaks,
 * which are tried first (OWASP ASVS 5.0, 6.2.4).
 */
export async function isCommonPassword(password: string): Promise<boolean> {
  commonPasswords ??= loadCommonPasswords();
  return (await commonPasswords).has(password.normalize("NFKC").trim().toLowerCase());
}

/** Loaded when the first password is chosen, because logins do not need it. */
async function loadCommonPasswords(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import("@zxcvbn-ts/language-common");
  return new Set(dictionary["passwords-common"]);
}
