import { Hono } from "hono";
import { KEEP_HEADER, REPEAT_HEADER, writeKeep } from "../../protocol/leases/keep-block.ts";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES, PacketDecoder, ProtocolError } from "../../protocol/packet-framing.ts";
import {
  type DecodedServiceRequest,
  decodeServiceRequest,
  type ServiceResponsePacket,
  unknownTypeResponse,
  writeServiceResponse,
} from "../../protocol/service-packets.ts";
import {
  failedResponse,
  MAX_BATCH_REQUESTS,
  type PlainServiceRequest,
  type ServiceRequest,
  type ServiceResponse,
  type SessionRequest,
  type SessionResponse,
} from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { PROTOCOL_HEADER, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";
import type { AppEnv } from "../app-env.ts";
import { EDGE_VERSIONS, refuseProtocol } from "../http/bridge-protocol.ts";
import { problem } from "../http/problem.ts";
import { hashToken } from "../session-store/secrets.ts";

/** The largest response of a fixed size, CountUsersResponse: 4 + 1 + 4 + 4. For an Issue, which is rarer, the writer grows. */
const RESPONSE_BYTES = 13;

const RESPONSE_HEADERS = { "Content-Type": "application/octet-stream", ...EDGE_VERSIONS };

/** `/v1/packets`: service packets in, their responses out, in order. A bridge that may keep sessions gets the keep block after them. */
export const packets = new Hono<AppEnv>().post("/", async (c) => {
  // Nearly every bridge speaks the same.
  const refusal = c.req.header(PROTOCOL_HEADER) === WIRE_PROTOCOL_VERSION ? undefined : refuseProtocol(c);
  if (refusal !== undefined) return refusal;
  if (c.req.header("Content-Type")?.toLowerCase() !== "application/octet-stream") {
    return problem(c, "invalid", "Content-Type: allowed is application/octet-stream");
  }
  const decoded = decodeAll(new Uint8Array(await c.req.arrayBuffer()));
  if (typeof decoded === "string") return problem(c, "invalid", decoded);
  if (decoded.length > MAX_BATCH_REQUESTS) {
    return problem(c, "too_large", `body: allowed are ${MAX_BATCH_REQUESTS} packets or fewer`);
  }
  const forBridge = c.req.header(KEEP_HEADER) === "1";
  const isRepeat = c.req.header(REPEAT_HEADER) === "1";
  const responses = await c.get("store").run(await forStore(decoded.filter(isRequest)), { forBridge, isRepeat });
  const body = new ByteWriter(decoded.length * RESPONSE_BYTES);
  writeAll(body, decoded, responses.map(forPacket));
  if (forBridge) writeKeeps(body, decoded, responses);
  return c.body(body.finish(), 200, RESPONSE_HEADERS);
});

/** The packets of the body; a text that says what is wrong if its framing is, and then none of them is executed. */
function decodeAll(body: Uint8Array): DecodedServiceRequest[] | string {
  const decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
  const decoded: DecodedServiceRequest[] = [];
  try {
    decoder.push(body, (packet) => decoded.push(decodeServiceRequest(packet)));
  } catch (error) {
    if (error instanceof ProtocolError) return `body: ${error.message}`;
    throw error;
  }
  return decoder.heldBytes === 0 ? decoded : "body: it ends inside a packet";
}

/** The requests as the store executes them. A thousand checks need no thousand promises. */
async function forStore(requests: readonly ServiceRequest[]): Promise<readonly SessionRequest[]> {
  if (requests.every(isPlain)) return requests;
  return Promise.all(requests.map((request) => (isPlain(request) ? request : hashToken(request))));
}

function isPlain(request: ServiceRequest): request is PlainServiceRequest {
  return request.kind !== "identify";
}

/** A response as its packet carries it. An anonymous session is nobody's, so its token is NotFound. */
function forPacket(response: SessionResponse): ServiceResponse {
  if (response.kind !== "identify") return response as ServiceResponse;
  const { kind, status, session } = response;
  if (session === null) return { kind, status, session };
  if (session.user === null) return { kind, status: Status.NotFound, session: null };
  return { kind, status, session: status === Status.Ok ? { sessid: session.sessid, user: session.user } : null };
}

function writeAll(
  writer: ByteWriter,
  decoded: readonly DecodedServiceRequest[],
  responses: readonly ServiceResponse[],
): void {
  let next = 0;
  for (const item of decoded)
    writeServiceResponse(writer, isRequest(item) ? required(responses[next++]) : refusal(item));
}

/** The keep block: an entry for each packet, also for one that was refused. */
function writeKeeps(
  writer: ByteWriter,
  decoded: readonly DecodedServiceRequest[],
  responses: readonly SessionResponse[],
): void {
  let next = 0;
  for (const item of decoded) {
    if (isRequest(item)) writeKeepOf(writer, required(responses[next++]));
    else if (item.kind === "invalid") writeKeep(writer, item.request, 0, null);
  }
}

function writeKeepOf(writer: ByteWriter, response: SessionResponse): void {
  if (response.kind === "check") writeKeep(writer, "check", response.keepMs ?? 0, null);
  else if (response.kind === "checkAccess") {
    writeKeep(writer, "checkAccess", response.keepMs ?? 0, response.grants ?? null);
  } else if (response.kind === "identify") {
    // An anonymous session is nobody's.
    const { session, keepMs = 0 } = response;
    writeKeep(writer, "identify", session?.user == null ? 0 : keepMs, session?.grants ?? null);
  }
}

function isRequest(item: DecodedServiceRequest): item is ServiceRequest {
  return item.kind !== "invalid" && item.kind !== "unknown";
}

function required<Response>(response: Response | undefined): Response {
  if (response === undefined) throw new Error("the store returned fewer responses than it got requests");
  return response;
}

function refusal(item: Exclude<DecodedServiceRequest, ServiceRequest>): ServiceResponsePacket {
  if (item.kind === "unknown") return unknownTypeResponse(item.type, Status.Invalid);
  return failedResponse(item.request, Status.Invalid) as ServiceResponse;
}
