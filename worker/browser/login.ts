import type { Context } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { splitToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import { clientAddress, networkKey } from "../http/client-address.ts";
import { noteOwnEnd, setSessionCookie } from "../http/client-credential.ts";
import type { PasswordRequest, PasswordResponse } from "../password-hasher/password-service.ts";
import { runOne } from "../session-store/session-store.ts";
import { type Account, Accounts, userOfAccount } from "./accounts.ts";
import { type LoginLimitBindings, reserveLogin } from "./login-limit.ts";
import type { PageEnv } from "./visitor.ts";

/** Whether the visitor knows an account's password. */
export type PasswordProof =
  | {
      readonly kind: "right";
      readonly account: Account;
      /** Replaces the account's hash, if that was made with other parameters than today's. */
      readonly newHash?: string;
      /** The browser's device, if the account has logged in on it before. */
      readonly device?: KnownDevice | undefined;
    }
  /** The password is wrong, or there is no such account, or it is disabled: nobody is told which. */
  | { readonly kind: "wrong" }
  /** Too many tries: the password was not compared. */
  | { readonly kind: "wait"; readonly seconds: number }
  | HasherBusy;

/**
 * Compares a password with an account's, within the limits on tries (login-limit.ts). Every page that asks for a password
 * calls this.
 *
 * @param name as `accountName` spells it
 */
export async function provePassword(c: Context<PageEnv>, name: string, password: string): Promise<PasswordProof> {
  const { config } = c.var;
  const accounts = new Accounts(c.env.DB);
  const device = await findKnownDevice(c, () => accounts.find(name));
  const address = clientAddress(c, config);
  const reserved = await reserveLogin(c.env, config.login, name, { address, device: device?.id });
  if (reserved.kind === "wait") return reserved;
  const account = await accounts.find(name);
  const verdict = await comparePassword(c.env.PASSWORD_HASHER, password, {
    phc: account?.passwordHash ?? null,
    urgent: device !== undefined,
    from: await networkKey(address),
  });
  if (verdict.kind === "busy") {
    await reserved.release();
    return verdict;
  }
  if (account === null || account.disabled || !verdict.matches) {
    await reserved.consume();
    return { kind: "wrong" };
  }
  await reserved.release();
  return { kind: "right", account, device, ...(verdict.newHash !== undefined && { newHash: verdict.newHash }) };
}

/** Options of {@link startSession}. */
export interface SessionStart {
  /** Replaces the account's hash. */
  readonly newHash?: string | undefined;
  /** Whether all other sessions of the account end. */
  readonly endsOthers?: boolean;
  /** The browser's device, if the account has logged in on it before. */
  readonly device?: KnownDevice | undefined;
}

/**
 * Logs an account in. A new session replaces the browser's, so that a token which an attacker planted or saw before the login
 * is void. The browser becomes a known device. Unless the status is Ok, the cookies stay as they are.
 *
 * Code that changes or deletes an account writes the account first, then ends its sessions. A login issues the session first,
 * then reads the account again. So one of the two always sees the other, and no session escapes. The status is Denied if the
 * account has changed since `account` was read.
 */
export async function startSession(
  c: Context<PageEnv>,
  account: Account,
  { newHash, endsOthers = false, device }: SessionStart = {},
): Promise<Status> {
  const { store, config } = c.var;
  const user = userOfAccount(account.name);
  const shown = c.get("credential");
  // The old session ends first, which makes room where the user is at the cap on sessions.
  const responses = await store.run([
    ...(shown ? [{ kind: "delete", sessid: shown.sessid, secretHash: shown.secretHash } as const] : []),
    ...(endsOthers ? [{ kind: "deleteUser", user } as const] : []),
    { kind: "issue", user, ip: clientAddress(c, config), grants: account.grants ?? config.web.grants },
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
  if (shown) noteOwnEnd(c, "login");
  return Status.Ok;
}

/** Too many passwords wait to be hashed: nothing was decided. */
export interface HasherBusy {
  readonly kind: "busy";
  readonly retryAfterSeconds: number;
}

/** Hashes a new password, unless it is a common one. `from` is the key under which limits count the client. */
export async function choosePassword(
  hasher: Fetcher,
  password: string,
  from: string,
): Promise<HasherBusy | Extract<PasswordResponse, { kind: "hashed" | "common" }>> {
  const response = await callHasher(hasher, { kind: "choose", password, from });
  if (response.kind === "verified") throw new Error("the hasher responded to another request");
  return response;
}

type Comparison = Omit<Extract<PasswordRequest, { kind: "verify" }>, "kind" | "password">;

/** Compares a password with a hash. If that was made with other parameters than today's, `newHash` is to replace it. */
async function comparePassword(
  hasher: Fetcher,
  password: string,
  comparison: Comparison,
): Promise<HasherBusy | { readonly kind: "compared"; readonly matches: boolean; readonly newHash?: string }> {
  const verdict = await callHasher(hasher, { kind: "verify", password, ...comparison });
  if (verdict.kind === "busy") return verdict;
  if (verdict.kind !== "verified") throw new Error("the hasher responded to another request");
  const { matches, outdated } = verdict;
  if (!matches || !outdated) return { kind: "compared", matches };
  const rehashed = await callHasher(hasher, { kind: "rehash", password, from: comparison.from });
  return { kind: "compared", matches, ...(rehashed.kind === "hashed" && { newHash: rehashed.hash }) };
}

async function callHasher(hasher: Fetcher, request: PasswordRequest): Promise<HasherBusy | PasswordResponse> {
  // A binding needs no address; `.invalid` belongs to nobody (RFC 6761).
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

/** A second cookie beside the session's, hidden from scripts and other sites in the same way. */
const DEVICE_COOKIE = "__Host-device";

/** Browsers keep a cookie for 400 days at most. */
const DEVICE_MAX_AGE_SECONDS = 365 * 24 * 3600;

/** Accounts that share a browser; the last to log in stay. */
const MAX_DEVICE_ENTRIES = 4;

/**
 * One account's entry in the cookie, `id.issued.mac`: 16 random bytes, epoch seconds, and an HMAC-SHA256 over both and the
 * account as it was. It names neither the account nor a session.
 */
const DEVICE_ENTRY = /^([\w-]{22})\.(\d{1,12})\.([\w-]{43})$/;

/** What an entry is bound to: it is void after a change of the password, and for a new account of the same name. */
type DeviceOwner = Pick<Account, "name" | "createdAt" | "revision">;

/** A device on which an account has logged in before. */
export interface KnownDevice {
  readonly id: string;
  /** Its entry in the cookie. */
  readonly entry: string;
}

/**
 * The device that the browser's cookie names, if the account has logged in on it (OWASP, "Device cookies"). It is no
 * credential: it only lets its owner try a password while strangers are kept from trying.
 *
 * @param find looks the account up; called only if there is a cookie
 */
async function findKnownDevice(
  c: Context<PageEnv>,
  find: () => Promise<DeviceOwner | null>,
): Promise<KnownDevice | undefined> {
  const entries = deviceEntries(c);
  if (entries.length === 0) return undefined;
  const account = await find();
  if (account === null) return undefined;
  const key = await deviceKey(c.env);
  const oldest = Date.now() / 1000 - DEVICE_MAX_AGE_SECONDS;
  for (const entry of entries) {
    const [, id = "", issued = "", mac = ""] = DEVICE_ENTRY.exec(entry) ?? [];
    if (Number(issued) < oldest) continue;
    const isOwn = await crypto.subtle.verify("HMAC", key, fromBase64url(mac), signedBytes(account, id, issued));
    if (isOwn) return { id, entry };
  }
  return undefined;
}

/** Gives the browser an entry for an account that has just logged in, in place of the one it had `before`. */
async function rememberDevice(
  c: Context<PageEnv>,
  account: DeviceOwner,
  before: KnownDevice | undefined,
): Promise<void> {
  const id = toBase64url(crypto.getRandomValues(new Uint8Array(16)));
  const issued = String(Math.floor(Date.now() / 1000));
  const mac = await crypto.subtle.sign("HMAC", await deviceKey(c.env), signedBytes(account, id, issued));
  const others = deviceEntries(c).filter((entry) => entry !== before?.entry);
  const entries = [`${id}.${issued}.${toBase64url(new Uint8Array(mac))}`, ...others].slice(0, MAX_DEVICE_ENTRIES);
  setCookie(c, DEVICE_COOKIE, entries.join("~"), {
    path: "/",
    secure: true,
    httpOnly: true,
    sameSite: "Strict",
    maxAge: DEVICE_MAX_AGE_SECONDS,
  });
}

function deviceEntries(c: Context): string[] {
  const entries = (getCookie(c, DEVICE_COOKIE) ?? "").split("~", MAX_DEVICE_ENTRIES);
  return entries.filter((entry) => DEVICE_ENTRY.test(entry));
}

function signedBytes({ name, createdAt, revision }: DeviceOwner, id: string, issued: string): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(["artoria device", name, createdAt, revision, id, issued]);
  return Uint8Array.from(new TextEncoder().encode(text));
}

const deviceKeys = new WeakMap<LoginLimitBindings, Promise<CryptoKey>>();

/** The key that signs entries. An isolate asks for it once. */
function deviceKey(bindings: LoginLimitBindings): Promise<CryptoKey> {
  const known = deviceKeys.get(bindings);
  if (known !== undefined) return known;
  const key = importDeviceKey(bindings);
  deviceKeys.set(bindings, key);
  key.catch(() => deviceKeys.delete(bindings));
  return key;
}

async function importDeviceKey({ LOGIN_GUARD }: LoginLimitBindings): Promise<CryptoKey> {
  const bytes = await LOGIN_GUARD.getByName("device-key").deviceKey();
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

function toBase64url(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromBase64(text, { alphabet: "base64url" });
}
