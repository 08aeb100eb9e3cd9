import { Connector } from "../../../client/connector.ts";
import { ServiceClient } from "../../../client/service-client.ts";
import { formatToken, parseToken, TOKEN_BYTES } from "../../../protocol/session-token.ts";
import { Status, type StatusName, statusName } from "../../../protocol/status-codes.ts";
import type { SessionAnswer, SessionCall } from "./session-history.ts";

/** A program that asks about sessions, one call after the other. */
export interface SessionCaller {
  readonly name: string;
  readonly throughBridge: boolean;
  readonly kinds: readonly SessionCall["kind"][];
  /** Rejects when the answer is Unavailable or does not come: the call may have taken effect, then or later. */
  ask(call: SessionCall): Promise<SessionAnswer>;
  close(): void;
}

const ANSWER_TIMEOUT_MS = 5_000;

/** A game server: one connection to a bridge, which it makes again when it is lost. */
export class GameServer implements SessionCaller {
  readonly name: string;
  readonly throughBridge = true;
  readonly kinds: readonly SessionCall["kind"][];
  readonly #connector: Connector;
  #client: Promise<ServiceClient> | undefined;

  constructor(name: string, { port, onlyReads }: { readonly port: number; readonly onlyReads: boolean }) {
    this.name = name;
    const reads = ["check", "checkAccess", "identify"] as const;
    this.kinds = onlyReads ? reads : [...reads, "register", "issue", "delete"];
    this.#connector = new Connector({ host: "127.0.0.1", port });
  }

  async ask(call: SessionCall): Promise<SessionAnswer> {
    this.#client ??= this.#connector.connect(
      (socket) => new ServiceClient(socket, { responseTimeoutMs: ANSWER_TIMEOUT_MS }),
    );
    try {
      return await askOverTcp(await this.#client, call);
    } catch (error) {
      if (!(error instanceof NotAnswered)) {
        this.close();
        this.#client = undefined;
      }
      throw error;
    }
  }

  close(): void {
    void this.#client?.then((client) => client.close()).catch(() => undefined);
  }
}

interface BackEndOptions {
  readonly url: string;
  readonly apiKey: string;
  readonly onlyReads: boolean;
  /** The idle lifetime that it chooses for sessions; absent: the configured one. */
  readonly ttlSeconds?: number;
}

/** A back end or a proxy: requests to an edge. */
export class BackEnd implements SessionCaller {
  readonly name: string;
  readonly throughBridge = false;
  readonly kinds: readonly SessionCall["kind"][];
  readonly #url: string;
  readonly #apiKey: string;
  readonly #ttlSeconds: number | undefined;

  constructor(name: string, { url, apiKey, onlyReads, ttlSeconds }: BackEndOptions) {
    this.name = name;
    const reads = ["check", "identify", "get", "list"] as const;
    this.kinds = onlyReads ? reads : [...reads, "register", "issue", "delete", "deleteUser"];
    this.#url = url;
    this.#apiKey = apiKey;
    this.#ttlSeconds = ttlSeconds;
  }

  async ask(call: SessionCall): Promise<SessionAnswer> {
    switch (call.kind) {
      case "check": {
        const { body } = await this.#request("POST", "/v1/sessions/check", { sessids: [call.sessid] });
        const [status] = (body as { statuses: string[] }).statuses;
        return { status: status === "ok" ? "Ok" : "NotFound" };
      }
      case "get": {
        const { status, body } = await this.#request("GET", `/v1/sessions/${call.sessid}`);
        return status === "Ok" ? { status, ...viewOf(body) } : { status };
      }
      case "identify":
        return call.resource === null ? this.#identify(call.token) : this.#check(call.token, call.resource);
      case "list": {
        const { status, body } = await this.#request("GET", `/v1/users/${call.user}/sessions`);
        const { sessions } = body as { sessions: { sessid: number; grants: string[] }[] };
        return { status, sessions: new Map(sessions.map(({ sessid, grants }) => [sessid, grants])) };
      }
      case "register":
      case "issue": {
        const { user, grants } = call;
        const sessid = call.kind === "register" ? call.sessid : undefined;
        const asked = { user, sessid, grants: grants ?? undefined, ttlSeconds: this.#ttlSeconds };
        const { code, status, body } = await this.#request("POST", "/v1/sessions", asked);
        if (status !== "Ok") return { status };
        const created = body as { token: string; sessid: number };
        const { token } = created;
        if (sessid === undefined) return { status, token, sessid: created.sessid };
        return { status, token, created: code === 201 };
      }
      case "delete": {
        const owner = call.user === null ? "" : `?user=${call.user}`;
        return { status: (await this.#request("DELETE", `/v1/sessions/${call.sessid}${owner}`)).status };
      }
      case "deleteUser":
        return { status: (await this.#request("DELETE", `/v1/users/${call.user}/sessions`)).status };
      case "checkAccess":
        throw new Error("an edge is asked for access by token");
    }
  }

  close(): void {}

  async #identify(token: string): Promise<SessionAnswer> {
    const { body } = await this.#request("POST", "/v1/sessions/identify", { tokens: [token] });
    const [session] = (body as { sessions: { status: string; user: string; grants: string[] }[] }).sessions;
    return session?.status === "ok" ? { status: "Ok", ...viewOf(session) } : { status: "NotFound" };
  }

  /** As a proxy asks on behalf of a client. */
  async #check(token: string, resource: string): Promise<SessionAnswer> {
    const response = await fetch(`${this.#url}/v1/check?resource=${encodeURIComponent(resource)}`, {
      headers: { Authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    await response.arrayBuffer();
    if (response.status === 401) return { status: "NotFound" };
    const status = statusOfCode(response.status);
    return status === "Ok" ? { status, user: response.headers.get("X-Session-User") ?? "" } : { status };
  }

  async #request(method: string, path: string, body?: unknown): Promise<HttpAnswer> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.#apiKey}`, "Content-Type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    const text = await response.text();
    return {
      code: response.status,
      status: statusOfCode(response.status),
      body: text === "" ? undefined : JSON.parse(text),
    };
  }
}

interface HttpAnswer {
  readonly code: number;
  readonly status: StatusName;
  readonly body: unknown;
}

/** The answer is Unavailable: the connection stays. */
class NotAnswered extends Error {}

async function askOverTcp(client: ServiceClient, call: SessionCall): Promise<SessionAnswer> {
  switch (call.kind) {
    case "check":
      return answered(await client.request(call));
    case "checkAccess":
      return answered(await client.request(call));
    case "identify": {
      const { resource } = call;
      const token = new Uint8Array(parseToken(call.token) ?? new Uint8Array(TOKEN_BYTES));
      const response = await client.request({ kind: "identify", token, ...(resource !== null && { resource }) });
      return { ...answered(response), ...(response.session && { user: response.session.user }) };
    }
    case "register":
      return answered(await client.request({ kind: "register", sessid: call.sessid, user: call.user, ip: null }));
    case "issue": {
      const response = await client.request({ kind: "issue", user: call.user, ip: null });
      return { ...answered(response), sessid: response.sessid, token: formatToken(response.token) };
    }
    case "delete":
      return answered(await client.request({ kind: "delete", sessid: call.sessid, user: call.user ?? "" }));
    default:
      throw new Error(`there is no packet for ${call.kind}`);
  }
}

function answered({ status }: { readonly status: Status }): { readonly status: StatusName } {
  if (status === Status.Unavailable) throw new NotAnswered();
  return { status: statusName(status) };
}

const STATUS_OF_CODE: Readonly<Record<number, StatusName>> = {
  200: "Ok",
  201: "Ok",
  204: "Ok",
  403: "Denied",
  404: "NotFound",
  409: "Conflict",
};

function statusOfCode(code: number): StatusName {
  const status = STATUS_OF_CODE[code];
  if (status === undefined) throw new NotAnswered(`HTTP status ${code}`);
  return status;
}

function viewOf(body: unknown): { readonly user: string; readonly grants: readonly string[] } {
  const { user, grants } = body as { user: string; grants: string[] };
  return { user, grants };
}
