import type { Context } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import type { Bindings } from "../app-env.ts";
import { clientAddress, networkKey } from "../http/client-address.ts";
import type { PasswordRequest, PasswordResponse } from "../password-hasher/password-service.ts";
import { type Account, Accounts } from "./accounts.ts";
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
 * @param name as `accountName` spells it
 */
export async function provePassword(c: Context<PageEnv>, name: string, password: string): Promise<PasswordProof> {
  const { config } = c.var;
  const accounts = new Accounts(c.env.DB);
  const device = await knownDevice(c, () => accounts.find(name));
  const address = clientAddress(c, config);
  const origin = { address, device: device?.id };
  const attempt = await beginLogin(c.env, config.login, name, origin);
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

/** Too many passwords wait to be hashed: nothing was decided. */
export interface HasherBusy {
  readonly kind: "busy";
  readonly retryAfterSeconds: number;
}

/** Hashes a password that somebody chose, unless everybody uses it; `from` is what limits count the client by. */
export async function choosePassword(
  hasher: Fetcher,
  password: string,
  from: string,
): Promise<HasherBusy | Extract<PasswordResponse, { kind: "hashed" | "common" }>> {
  const response = await ask(hasher, { kind: "choose", password, from });
  if (response.kind === "verified") throw new Error("the hasher answered another question");
  return response;
}

/**
 * Compares a password with an account's PHC string. Without one, for a name that nobody has, it takes as long and does not
 * match. A known device does not wait behind strangers, and nobody behind all that `from` sends, which is what
 * limits count the client by. Where the hash was made with other parameters than today's, `newHash` is to take its place.
 */
export async function comparePassword(
  hasher: Fetcher,
  password: string,
  {
    phc,
    knownDevice,
    from,
  }: { readonly phc: string | undefined; readonly knownDevice: boolean; readonly from: string },
): Promise<HasherBusy | { readonly kind: "compared"; readonly matches: boolean; readonly newHash?: string }> {
  const verdict = await ask(hasher, { kind: "verify", password, phc: phc ?? null, urgent: knownDevice, from });
  if (verdict.kind === "busy") return verdict;
  if (verdict.kind !== "verified") throw new Error("the hasher answered another question");
  const { matches, outdated } = verdict;
  if (!matches || !outdated) return { kind: "compared", matches };
  const rehashed = await ask(hasher, { kind: "rehash", password, from });
  return { kind: "compared", matches, ...(rehashed.kind === "hashed" && { newHash: rehashed.hash }) };
}

async function ask(hasher: Fetcher, request: PasswordRequest): Promise<HasherBusy | PasswordResponse> {
  // A binding has no address; the name is nobody's (RFC 6761).
  const response = await hasher.fetch("https://password-hasher.invalid/", {
    method: "POST",
    body: JSON.stringify(request),
  });
  if (response.status === 503) {
    return { kind: "busy", retryAfterSeconds: Number(response.headers.get("Retry-After")) };
  }
  if (!response.ok) throw new Error("the password hasher failed");
  return response.json<PasswordResponse>();
}

/** Beside the session's cookie, and as little seen by scripts and other sites. */
const DEVICE_COOKIE = "__Host-device";

/** What browsers keep at most is 400 days. */
const MAX_AGE_SECONDS = 365 * 24 * 3600;

/** People who share a browser; who was there last stays. */
const MAX_ACCOUNTS = 4;

/** `id.issued.mac`: 16 random bytes, epoch seconds, HMAC-SHA256 with the account as it was. It names neither that nor a session. */
const ENTRY = /^([\w-]{22})\.(\d{1,12})\.([\w-]{43})$/;

/** What of an account its devices are bound to: who knew an earlier password, or had the name before, has none. */
export type DeviceOwner = Pick<Account, "name" | "createdAt" | "revision">;

/** A device on which an account's password was right before. */
export interface KnownDevice {
  readonly id: string;
  /** Its part of the cookie. */
  readonly entry: string;
}

/**
 * The device that the browser's cookie shows, if this account has logged in on it (OWASP, "Device cookies"). It is no
 * credential: all it gives is the right to try a password while others are kept from it.
 *
 * @param find looks the account up; asked only where there is a cookie
 */
export async function knownDevice(
  c: Context<PageEnv>,
  find: () => Promise<DeviceOwner | null>,
): Promise<KnownDevice | undefined> {
  const entries = entriesOf(c);
  if (entries.length === 0) return undefined;
  const account = await find();
  if (account === null) return undefined;
  const key = await deviceKey(c.env);
  const oldest = Date.now() / 1000 - MAX_AGE_SECONDS;
  for (const entry of entries) {
    const [, id = "", issued = "", mac = ""] = ENTRY.exec(entry) ?? [];
    if (Number(issued) < oldest) continue;
    if (await crypto.subtle.verify("HMAC", key, fromBase64url(mac), signed(account, id, issued))) return { id, entry };
  }
  return undefined;
}

/** Gives the browser a new cookie for an account that has just logged in; `before` is the device that it showed. */
export async function rememberDevice(
  c: Context<PageEnv>,
  account: DeviceOwner,
  before: KnownDevice | undefined,
): Promise<void> {
  const id = toBase64url(crypto.getRandomValues(new Uint8Array(16)));
  const issued = String(Math.floor(Date.now() / 1000));
  const mac = await crypto.subtle.sign("HMAC", await deviceKey(c.env), signed(account, id, issued));
  const others = entriesOf(c).filter((entry) => entry !== before?.entry);
  const entries = [`${id}.${issued}.${toBase64url(new Uint8Array(mac))}`, ...others].slice(0, MAX_ACCOUNTS);
  setCookie(c, DEVICE_COOKIE, entries.join("~"), {
    path: "/",
    secure: true,
    httpOnly: true,
    sameSite: "Strict",
    maxAge: MAX_AGE_SECONDS,
  });
}

function entriesOf(c: Context): string[] {
  const entries = (getCookie(c, DEVICE_COOKIE) ?? "").split("~", MAX_ACCOUNTS);
  return entries.filter((entry) => ENTRY.test(entry));
}

function signed({ name, createdAt, revision }: DeviceOwner, id: string, issued: string): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(["artoria device", name, createdAt, revision, id, issued]);
  return Uint8Array.from(new TextEncoder().encode(text));
}

const keys = new WeakMap<Bindings, Promise<CryptoKey>>();

/** The key is asked for once in an isolate's life. */
function deviceKey(bindings: Bindings): Promise<CryptoKey> {
  const known = keys.get(bindings);
  if (known !== undefined) return known;
  const key = importKey(bindings);
  keys.set(bindings, key);
  key.catch(() => keys.delete(bindings));
  return key;
}

async function importKey({ LOGIN_GUARD }: Bindings): Promise<CryptoKey> {
  const bytes = await LOGIN_GUARD.getByName("device-key").deviceKey();
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

function toBase64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  const base64 = text.replaceAll("-", "+").replaceAll("_", "/");
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
