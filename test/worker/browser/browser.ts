import { applyD1Migrations, type D1Migration } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { parseToken, splitToken } from "../../../protocol/session-token.ts";
import type { Bindings } from "../../../worker/app-env.ts";
import { ask, askAsService } from "../routes/edge-client.ts";

/** The worker's bindings, and the migrations that vitest.workerd.config.ts adds. */
export const bindings = env as unknown as Bindings & { readonly MIGRATIONS: D1Migration[] };

/** Gives the tests' database its tables. */
export function migrateAccounts(): Promise<void> {
  return applyD1Migrations(bindings.DB, bindings.MIGRATIONS);
}

export const PASSWORD = "correct horse battery";

let nextName = 0;

/** An account name that no other test has. */
export function newName(): string {
  nextName += 1;
  return `kim-${nextName}`;
}

/** A browser with one cookie and an address of its own, as far as these tests need one; redirects are not followed. */
export class Browser {
  /** The session's token, as the cookie has it. */
  cookie: string | undefined;
  /** What the device cookie has. */
  device: string | undefined;
  readonly address: string;
  static #nextAddress = 1;

  constructor(address?: string) {
    this.address = address ?? `10.0.${Browser.#nextAddress >> 8}.${Browser.#nextAddress++ & 255}`;
  }

  async open(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("CF-Connecting-IP", this.address);
    const cookies = [["__Host-sid", this.cookie] as const, ["__Host-device", this.device] as const];
    const sent = cookies.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
    if (sent.length > 0 && !headers.has("Cookie")) headers.set("Cookie", sent.join("; "));
    const response = await ask(path, { ...init, headers });
    for (const set of response.headers.getSetCookie()) {
      const [, name, value] = /^([\w-]+)=([^;]*)/.exec(set) ?? [];
      const kept = /Max-Age=0/.test(set) ? undefined : value;
      if (name === "__Host-sid") this.cookie = kept;
      if (name === "__Host-device") this.device = kept;
    }
    return response;
  }

  /** Sends a form of a page of this site; `headers` replace the browser's own. */
  submit(path: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
    const body = new URLSearchParams(fields);
    return this.open(path, { method: "POST", body, headers: { Origin: "https://edge.test", ...headers } });
  }

  signUp(user: string, password = PASSWORD): Promise<Response> {
    return this.submit("/signup", { user, password });
  }

  logIn(user: string, password = PASSWORD): Promise<Response> {
    return this.submit("/login", { user, password });
  }

  /** The number of the cookie's session. */
  get sessid(): number {
    const token = parseToken(this.cookie ?? "");
    if (token === undefined) throw new Error("the browser has no session cookie");
    return splitToken(token).sessid;
  }
}

/** A session as a service sees it, undefined if there is none. */
export async function sessionOf(sessid: number) {
  const response = await askAsService("GET", `/v1/sessions/${sessid}`);
  if (response.status === 404) return undefined;
  return response.json<{ user: string | null; ip: string; createdAt: number; expiresAt: number; grants: string[] }>();
}
