import { once } from "node:events";
import { connect } from "node:net";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { writeServiceRequest } from "../../protocol/service-packets.ts";
import type { ServiceRequest } from "../../protocol/session-request.ts";
import { loadJob, serveOrders } from "./serve-orders.ts";

/** Deletes, one at a time on each connection. */
export interface DeleteJob {
  readonly port: number;
  readonly connections: number;
}

/** Above the sessids of other loads. */
const FIRST_SESSID = 1_000_000_000;

/** Sends a request and resolves with its response's status. */
type Ask = (request: ServiceRequest) => Promise<number>;

const job = loadJob<DeleteJob>();
const asks = await Promise.all(Array.from({ length: job.connections }, open));

serveOrders(async (untilMs) => {
  const latenciesMs: number[] = [];
  await Promise.all(asks.map((ask, index) => deleteUntil(ask, FIRST_SESSID + index, untilMs, latenciesMs)));
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0;
  return { done: latenciesMs.length, latencyMs: { p50: at(0.5), p99: at(0.99) } };
});

/** Registers and deletes a session again and again; only the deletes are timed. */
async function deleteUntil(ask: Ask, sessid: number, untilMs: number, latenciesMs: number[]): Promise<void> {
  const user = `user-${sessid}`;
  while (performance.now() < untilMs) {
    await expectOk(ask, { kind: "register", sessid, user, ip: null });
    const startMs = performance.now();
    await expectOk(ask, { kind: "delete", sessid, user });
    latenciesMs.push(performance.now() - startMs);
  }
}

async function expectOk(ask: Ask, request: ServiceRequest): Promise<void> {
  const status = await ask(request);
  if (status !== 0) throw new Error(`a ${request.kind} with status ${status}`);
}

async function open(): Promise<Ask> {
  const socket = connect({ host: "127.0.0.1", port: job.port, noDelay: true });
  let respond: ((status: number) => void) | undefined;
  // Both responses have 5 bytes, the last of which is the status. They come whole: one segment each.
  socket.on("data", (chunk: Buffer) => respond?.(chunk[4] ?? -1));
  socket.on("close", () => {
    throw new Error("the server closed the connection");
  });
  await once(socket, "connect");
  return (request) =>
    new Promise((resolve) => {
      respond = resolve;
      const writer = new ByteWriter();
      writeServiceRequest(writer, request);
      socket.write(writer.finish());
    });
}
