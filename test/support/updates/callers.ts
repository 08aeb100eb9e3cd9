import { type Agent, request } from "undici";
import { Connector } from "../../../client/connector.ts";
import { ServiceClient } from "../../../client/service-client.ts";
import type { ServiceRequest, ServiceResponseTo } from "../../../protocol/session-request.ts";
import { Status, statusName } from "../../../protocol/status-codes.ts";
import type { TrueSession, Verdict } from "./session-truth.ts";

/** Where everybody connects: HAProxy's ports. */
export interface Places {
  readonly gamePort: number;
  readonly checkUrl: string;
  readonly edgeUrl: string;
  /** The authority of all certificates. */
  readonly ca: string;
  readonly apiKey: string;
  readonly serviceKey: string;
}

/** Who checks sessions. */
export interface Checker {
  readonly name: string;
  /** Whether it can only ask about sessions that have a token. */
  readonly needsToken: boolean;
  /** Throws if there was no verdict: then nothing is known, and it may be asked again. */
  check(session: TrueSession): Promise<Verdict>;
  close(): void;
}

/** Who creates and deletes sessions. Both methods throw if there was no answer, or a refusal: then nothing is known. */
export interface Writer {
  create(sessid: number, user: string): Promise<{ readonly token: string | undefined }>;
  delete(session: TrueSession): Promise<void>;
  close(): void;
}

/** Longer than any part takes to be replaced: an answer that comes so late is still measured. */
const ANSWER_TIMEOUT_MS = 15_000;

/** A game server: one connection to a bridge. If it is lost, the next request connects again. */
export class GameServer implements Checker, Writer {
  readonly name = "game server";
  readonly needsToken = false;
  readonly #connector: Connector;
  readonly #serviceKey: string;
  #client: Promise<ServiceClient> | undefined;

  constructor({ gamePort, ca, serviceKey }: Places) {
    this.#connector = new Connector({ host: "127.0.0.1", port: gamePort, tls: { ca } });
    this.#serviceKey = serviceKey;
  }

  async check({ sessid }: TrueSession): Promise<Verdict> {
    const response = await this.#request({ kind: "check", sessid });
    accept(response, [Status.Ok, Status.NotFound]);
    return response.status === Status.Ok ? "valid" : "invalid";
  }

  async create(sessid: number, user: string): Promise<{ readonly token: undefined }> {
    accept(await this.#request({ kind: "register", sessid, user, ip: null }), [Status.Ok]);
    return { token: undefined };
  }

  async delete({ sessid, user }: TrueSession): Promise<void> {
    // NotFound: an earlier try has deleted it, and its response was lost.
    accept(await this.#request({ kind: "delete", sessid, user }), [Status.Ok, Status.NotFound]);
  }

  close(): void {
    void this.#client?.then((client) => client.close()).catch(() => undefined);
  }

  async #request<K extends ServiceRequest["kind"]>(
    asked: ServiceRequest & { readonly kind: K },
  ): Promise<ServiceResponseTo<K>> {
    const connection = this.#client ?? this.#open();
    this.#client = connection;
    try {
      return await (await connection).request<K>(asked);
    } catch (error) {
      if (this.#client === connection) this.#client = undefined;
      throw error;
    }
  }

  #open(): Promise<ServiceClient> {
    return ServiceClient.open({
      connector: this.#connector,
      serviceKey: this.#serviceKey,
      responseTimeoutMs: ANSWER_TIMEOUT_MS,
    });
  }
}

function accept({ status }: { readonly status: Status }, statuses: readonly Status[]): void {
  if (!statuses.includes(status)) throw new Error(statusName(status));
}

/** A proxy that asks a check port or an edge about the requests of clients, by their tokens. */
export class AskingProxy implements Checker {
  readonly name: string;
  readonly needsToken = true;
  readonly #url: string;
  readonly #agent: Agent;

  constructor(name: string, url: string, agent: Agent) {
    this.name = name;
    this.#url = url;
    this.#agent = agent;
  }

  async check({ token }: TrueSession): Promise<Verdict> {
    const answer = await ask(this.#agent, `${this.#url}/v1/check`, { headers: { authorization: `Bearer ${token}` } });
    expectStatus(answer, [200, 401]);
    return answer.status === 200 ? "valid" : "invalid";
  }

  close(): void {}
}

/** A back end, which asks the edges. */
export class BackEnd implements Checker, Writer {
  readonly name = "back end";
  readonly needsToken = false;
  readonly #places: Places;
  readonly #agent: Agent;

  constructor(places: Places, agent: Agent) {
    this.#places = places;
    this.#agent = agent;
  }

  async check({ sessid }: TrueSession): Promise<Verdict> {
    const answer = await this.#ask("POST", "/v1/sessions/check", { sessids: [sessid] });
    expectStatus(answer, [200]);
    const { statuses } = JSON.parse(answer.body) as { statuses: string[] };
    return statuses[0] === "ok" ? "valid" : "invalid";
  }

  async create(sessid: number, user: string): Promise<{ readonly token: string }> {
    const answer = await this.#ask("POST", "/v1/sessions", { sessid, user });
    // 200: an earlier try has created it, and its response was lost.
    expectStatus(answer, [201, 200]);
    return JSON.parse(answer.body) as { token: string };
  }

  async delete({ sessid }: TrueSession): Promise<void> {
    // 404: an earlier try has deleted it.
    expectStatus(await this.#ask("DELETE", `/v1/sessions/${sessid}`), [204, 404]);
  }

  close(): void {}

  #ask(method: "POST" | "DELETE", path: string, body?: unknown): Promise<HttpAnswer> {
    return ask(this.#agent, `${this.#places.edgeUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#places.apiKey}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }
}

interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

async function ask(agent: Agent, url: string, options: Parameters<typeof request>[1]): Promise<HttpAnswer> {
  const { statusCode, body } = await request(url, {
    ...options,
    dispatcher: agent,
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  return { status: statusCode, body: await body.text() };
}

/** HAProxy asks the other server if one is gone, so any other status is a refusal. */
function expectStatus({ status, body }: HttpAnswer, statuses: readonly number[]): void {
  if (!statuses.includes(status)) throw new Error(`HTTP status ${status}: ${body.slice(0, 200)}`);
}
