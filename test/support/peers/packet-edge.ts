import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { KEEP_HEADER, REPEAT_HEADER, writeKeep } from "../../../protocol/leases/keep-block.ts";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES } from "../../../protocol/packet-framing.ts";
import {
  type DecodedServiceRequest,
  decodeServiceRequest,
  type ServiceResponsePacket,
  unknownTypeResponse,
  writeServiceResponse,
} from "../../../protocol/service-packets.ts";
import { failedResponse, type ServiceRequest, type ServiceResponse } from "../../../protocol/session-request.ts";
import { makeToken, splitToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { splitPackets } from "../packets/cut-and-mutate.ts";
import { FakeEvents } from "./fake-events.ts";
import { FakeHub } from "./fake-hub.ts";

/** What a fault does with a batch instead of, or before, the right response. */
export type EdgeFault = (
  batch: EdgeBatch,
  response: ServerResponse,
) => Promise<"respond" | "done"> | "respond" | "done";

/** A batch that the edge was sent. */
export interface EdgeBatch {
  readonly requests: readonly DecodedServiceRequest[];
  /** Executes the requests and returns the right responses. */
  readonly responses: () => Uint8Array;
}

/**
 * An edge that can be made to fail: a real HTTP server that decodes the packets of `POST /v1/packets` and responds from
 * memory. Each fault in {@link faults} is used for one batch, in order, then {@link fault} for all, if it is set.
 */
export class PacketEdge {
  readonly apiKey = "test-key-0123456789-0123456789-01";
  readonly sessions = new SessionMap();
  /** The kinds of the requests of each batch that came, the empty ones of readiness left out. */
  readonly batches: string[][] = [];
  /** The headers of the newest batch, the empty ones of readiness included. */
  lastHeaders: IncomingHttpHeaders = {};
  /** More headers of the responses to batches: what the edge tells of itself. */
  headers: Readonly<Record<string, string | string[]>> = {};
  /** Whether the bridge said of each batch that it has posted it before. */
  readonly repeats: boolean[] = [];
  readonly faults: EdgeFault[] = [];
  fault: EdgeFault | undefined;
  /** `/v1/leases`. It refuses bridges, as an edge does that knows no leases, until a test lets them in. */
  readonly hub = new FakeHub();
  /** `/v1/events`. */
  readonly events = new FakeEvents();
  /** For how long a bridge that asks may keep a session; undefined: it is not told, as by an edge that does not know the question. */
  keepSeconds: number | undefined;
  readonly #server: Server = createServer((request, response) => {
    this.#respond(request, response).catch((error: unknown) => response.destroy(error as Error));
  });

  static async open(port = 0): Promise<PacketEdge> {
    const edge = new PacketEdge();
    edge.#server.on("upgrade", (request, socket, head) => edge.hub.upgrade(request, socket, head));
    edge.#server.listen(port, "127.0.0.1");
    await once(edge.#server, "listening");
    return edge;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    await this.hub.close();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    if (request.headers.authorization !== `Bearer ${this.apiKey}`) {
      response.writeHead(401, { "Content-Type": "application/problem+json" });
      response.end(JSON.stringify({ code: "unauthenticated" }));
      return;
    }
    if (request.url?.startsWith("/v1/events?")) {
      await this.events.respond(request, response);
      return;
    }
    this.lastHeaders = request.headers;
    for (const [name, value] of Object.entries(this.headers)) response.setHeader(name, value);
    const requests = splitPackets(MAX_SERVICE_PACKET_BYTES, [body]).map(decodeServiceRequest);
    const asksKeep = request.headers[KEEP_HEADER] === "1" && this.keepSeconds !== undefined;
    const batch: EdgeBatch = { requests, responses: () => this.#run(requests, asksKeep) };
    if (requests.length > 0) {
      this.batches.push(requests.map(({ kind }) => kind));
      this.repeats.push(request.headers[REPEAT_HEADER] === "1");
      const fault = this.faults.shift() ?? this.fault;
      if (fault !== undefined && (await fault(batch, response)) === "done") return;
    }
    response.writeHead(200, { "Content-Type": "application/octet-stream" });
    response.end(batch.responses());
  }

  #run(requests: readonly DecodedServiceRequest[], asksKeep: boolean): Uint8Array {
    const writer = new ByteWriter();
    const block = new ByteWriter();
    for (const request of requests) {
      const response = this.#responseTo(request);
      writeServiceResponse(writer, response);
      const keepMs = response.status === Status.Ok ? (this.keepSeconds ?? 0) * 1000 : 0;
      if (request.kind !== "unknown" && request.kind !== "invalid") writeKeep(block, request.kind, keepMs, GRANTS);
      else if (request.kind === "invalid") writeKeep(block, request.request, 0, null);
    }
    return asksKeep ? Buffer.concat([writer.finish(), block.finish()]) : writer.finish();
  }

  #responseTo(request: DecodedServiceRequest): ServiceResponsePacket {
    if (request.kind === "unknown") return unknownTypeResponse(request.type, Status.Invalid);
    if (request.kind === "invalid") return failedResponse(request.request, Status.Invalid) as ServiceResponse;
    return this.sessions.run(request);
  }
}

/** Never responds. */
export const hang: EdgeFault = () => "done";

/** A fault that keeps batches waiting until `open` is called, then responds to them. */
export function gate(): { readonly fault: EdgeFault; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<"respond">();
  return { fault: () => promise, open: () => resolve("respond") };
}

/** Responds with this status and body instead. */
export function respond(status: number, body: string | Uint8Array = ""): EdgeFault {
  return (_batch, response) => {
    response.writeHead(status);
    response.end(body);
    return "done";
  };
}

/** Breaks the connection before the requests have an effect. */
export const breakConnection: EdgeFault = (_batch, response) => {
  response.destroy();
  return "done";
};

/** The grants of every session. */
const GRANTS = ["open:*"];

/** The secret of every token of a {@link SessionMap}. */
const SECRET = new Uint8Array(16).fill(7);

/** Sessions by sessid, in memory: what a {@link PacketEdge} responds from. Each has its user. */
export class SessionMap {
  readonly users = new Map<number, string>();
  #issued = 1_000_000;

  run(request: ServiceRequest): ServiceResponse {
    switch (request.kind) {
      case "check":
        return { kind: "check", status: this.users.has(request.sessid) ? Status.Ok : Status.NotFound };
      case "checkAccess":
        return { kind: "checkAccess", status: this.#access(request.sessid, request.resource) };
      case "register": {
        const owner = this.users.get(request.sessid);
        if (owner !== undefined && owner !== request.user) {
          return failedResponse("register", Status.Conflict) as ServiceResponse;
        }
        this.users.set(request.sessid, request.user ?? "");
        return { kind: "register", status: Status.Ok };
      }
      case "delete": {
        const owner = this.users.get(request.sessid);
        if (owner === undefined) return { kind: "delete", status: Status.NotFound };
        if (owner !== request.user) return { kind: "delete", status: Status.Denied };
        this.users.delete(request.sessid);
        return { kind: "delete", status: Status.Ok };
      }
      case "count": {
        const users = new Set(this.users.values()).size;
        return { kind: "count", status: Status.Ok, sessions: this.users.size, users };
      }
      case "issue": {
        const sessid = this.#issued++;
        this.users.set(sessid, request.user ?? "");
        return { kind: "issue", status: Status.Ok, sessid, token: makeToken(sessid, SECRET) };
      }
      case "identify": {
        const { sessid, secret } = splitToken(request.token);
        const user = Buffer.compare(secret, SECRET) === 0 ? this.users.get(sessid) : undefined;
        if (user === undefined) return { kind: "identify", status: Status.NotFound, session: null };
        const status = request.resource === undefined ? Status.Ok : this.#access(sessid, request.resource);
        return { kind: "identify", status, session: status === Status.Ok ? { sessid, user } : null };
      }
    }
  }

  #access(sessid: number, resource: string): Status {
    if (!this.users.has(sessid)) return Status.NotFound;
    return resource.startsWith("open:") ? Status.Ok : Status.Denied;
  }
}
