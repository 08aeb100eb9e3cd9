import { Hono } from "hono";
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
  type ServiceRequest,
  type ServiceResponse,
} from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { problem } from "../http/problem.ts";

/** The largest fixed answer, CountUsersResponse: 4 + 1 + 4 + 4. Issues, which are rarer, make the writer grow. */
const ANSWER_BYTES = 13;

/** `/v1/packets`: service packets in, their answers out, in order. */
export const packets = new Hono<AppEnv>().post("/", async (c) => {
  if (c.req.header("Content-Type")?.toLowerCase() !== "application/octet-stream") {
    return problem(c, "invalid", "Content-Type: allowed is application/octet-stream");
  }
  const split = decodeAll(new Uint8Array(await c.req.arrayBuffer()));
  if (typeof split === "string") return problem(c, "invalid", split);
  if (split.length > MAX_BATCH_REQUESTS)
    return problem(c, "too_large", `body: allowed are ${MAX_BATCH_REQUESTS} packets or fewer`);
  const requests = split.filter(isRequest);
  const responses = await c.get("store").run(requests);
  return c.body(encodeAll(split, responses as ServiceResponse[]), 200, { "Content-Type": "application/octet-stream" });
});

/** Every packet of the body, or what is wrong with its framing: then nothing of it is executed. */
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

function encodeAll(
  decoded: readonly DecodedServiceRequest[],
  responses: readonly ServiceResponse[],
): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(decoded.length * ANSWER_BYTES);
  let next = 0;
  for (const item of decoded) writeServiceResponse(writer, isRequest(item) ? answer(responses[next++]) : refusal(item));
  return writer.finish();
}

function isRequest(item: DecodedServiceRequest): item is ServiceRequest {
  return item.kind !== "invalid" && item.kind !== "unknown";
}

function answer(response: ServiceResponse | undefined): ServiceResponse {
  if (response === undefined) throw new Error("the store answered fewer requests than it was asked");
  return response;
}

function refusal(item: Exclude<DecodedServiceRequest, ServiceRequest>): ServiceResponsePacket {
  if (item.kind === "unknown") return unknownTypeResponse(item.type, Status.Invalid);
  return failedResponse(item.request, Status.Invalid) as ServiceResponse;
}
