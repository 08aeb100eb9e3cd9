import { exports } from "cloudflare:workers";

/** One of the keys that vitest.workerd.config.ts configures. */
export const API_KEY = "test-key-0123456789-0123456789-01";

let nextUser = 0;

/** A user that no other test has. */
export function newUser(): string {
  nextUser += 1;
  return `user-${nextUser}-${crypto.randomUUID()}`;
}

/** Asks the worker without a credential. */
export function ask(path: string, init: RequestInit = {}): Promise<Response> {
  return exports.default.fetch(new Request(`https://edge.test${path}`, { redirect: "manual", ...init }));
}

/** Asks as a service; `body` is sent as JSON. */
export function askAsService(method: string, path: string, body?: unknown): Promise<Response> {
  const headers = new Headers({ Authorization: `Bearer ${API_KEY}` });
  if (body === undefined) return ask(path, { method, headers });
  headers.set("Content-Type", "application/json");
  return ask(path, { method, headers, body: typeof body === "string" ? body : JSON.stringify(body) });
}

/** Sends service packets. */
export function askPackets(
  body: Uint8Array<ArrayBuffer>,
  more: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const headers = { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/octet-stream", ...more };
  return ask("/v1/packets", { method: "POST", headers, body });
}

/** Asks as a client that shows its token. */
export function askAsClient(token: string, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${token}`);
  return ask(path, { ...init, headers });
}

/** The response to `POST /v1/sessions`. */
export interface Created {
  readonly sessid: number;
  readonly token: string;
  readonly user: string;
  readonly expiresAt: number;
}

/** Creates a session that the test may use. */
export async function createSession(choice: { user?: string; grants?: readonly string[] } = {}): Promise<Created> {
  const response = await askAsService("POST", "/v1/sessions", { user: newUser(), ...choice });
  if (response.status !== 201) throw new Error(`POST /v1/sessions responded with ${response.status}`);
  return response.json<Created>();
}

/** The code and detail of an error response, which must have the form of RFC 9457. */
export async function problemOf(response: Response): Promise<{ status: number; code: string; detail: string }> {
  const body = await response.json<{ status: number; code: string; detail?: string; title: string; type: string }>();
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) throw new Error("not a problem");
  if (body.status !== response.status || body.type !== "about:blank" || body.title === "")
    throw new Error("bad problem");
  return { status: body.status, code: body.code, detail: body.detail ?? "" };
}
