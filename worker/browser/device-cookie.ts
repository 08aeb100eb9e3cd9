import type { Context } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import type { Bindings } from "../app-env.ts";
import type { Account } from "./accounts.ts";
import type { PageEnv } from "./visitor.ts";

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
