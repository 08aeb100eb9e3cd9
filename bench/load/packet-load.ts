import { ByteWriter } from "../../protocol/byte-writer.ts";
import { writeServiceRequest } from "../../protocol/service-packets.ts";
import { PacketConnection } from "./packet-connection.ts";
import { loadJob, serveOrders } from "./serve-orders.ts";

/** A load of service packets. */
export interface PacketJob {
  readonly kind: "check" | "register";
  readonly port: number;
  readonly connections: number;
  /** Packets of a window. */
  readonly pipelined: number;
  /** The sessions are 1..sessions, in a random order. */
  readonly sessions: number;
}

const job = loadJob<PacketJob>();
const windows = prepareWindows(job);
let next = 0;
let last = Number.POSITIVE_INFINITY;

const connections = await Promise.all(
  Array.from({ length: job.connections }, () =>
    PacketConnection.open(job.port, job.pipelined, () => {
      if (next === last) return undefined;
      next += 1;
      return windows[next % windows.length];
    }),
  ),
);

serveOrders(async (untilMs) => {
  last = untilMs === Number.POSITIVE_INFINITY ? next + windows.length : Number.POSITIVE_INFINITY;
  const done = await Promise.all(connections.map((connection) => connection.run(untilMs)));
  return { done: done.reduce((sum, count) => sum + count, 0) * job.pipelined };
});

/** Every session once, in windows that are ready to be written: making packets is no part of what is measured. */
function prepareWindows({ kind, pipelined, sessions }: PacketJob): Uint8Array[] {
  const sessids = shuffled(sessions);
  const prepared: Uint8Array[] = [];
  for (let first = 0; first + pipelined <= sessions; first += pipelined) {
    const writer = new ByteWriter(pipelined * 32);
    for (const sessid of sessids.subarray(first, first + pipelined)) {
      if (kind === "check") writeServiceRequest(writer, { kind, sessid });
      else writeServiceRequest(writer, { kind, sessid, ip: "10.1.2.3", user: `user-${sessid}` });
    }
    prepared.push(writer.finish());
  }
  return prepared;
}

function shuffled(count: number): Int32Array {
  const numbers = Int32Array.from({ length: count }, (_, index) => index + 1);
  for (let at = count - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    const held = numbers[at] ?? 0;
    numbers[at] = numbers[other] ?? 0;
    numbers[other] = held;
  }
  return numbers;
}
