import { ByteWriter } from "../../protocol/packet-fields.ts";
import { writeServiceRequest } from "../../protocol/service-packets.ts";
import { PacketConnection } from "./packet-connection.ts";
import { loadJob, serveOrders } from "./serve-orders.ts";

/** A load of service packets. */
export interface PacketJob {
  /** churn: one half of a window registers, the other deletes the same sessions. */
  readonly kind: "check" | "register" | "churn";
  readonly port: number;
  readonly connections: number;
  /** Packets of a window. */
  readonly pipelined: number;
  /** So many sessions from `firstSessid` on (default 1), in a random order. */
  readonly sessions: number;
  readonly firstSessid?: number;
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
function prepareWindows({ kind, pipelined, sessions, firstSessid = 1 }: PacketJob): Uint8Array[] {
  const sessids = shuffled(firstSessid, sessions);
  const perWindow = kind === "churn" ? pipelined / 2 : pipelined;
  const prepared: Uint8Array[] = [];
  for (let first = 0; first + perWindow <= sessions; first += perWindow) {
    const writer = new ByteWriter(pipelined * 32);
    const window = sessids.subarray(first, first + perWindow);
    for (const sessid of window) {
      if (kind === "check") writeServiceRequest(writer, { kind, sessid });
      else writeServiceRequest(writer, { kind: "register", sessid, ip: "10.1.2.3", user: `user-${sessid}` });
    }
    if (kind === "churn") {
      for (const sessid of window) writeServiceRequest(writer, { kind: "delete", sessid, user: `user-${sessid}` });
    }
    prepared.push(writer.finish());
  }
  return prepared;
}

function shuffled(first: number, count: number): Int32Array {
  const numbers = Int32Array.from({ length: count }, (_, index) => first + index);
  for (let at = count - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    const held = numbers[at] ?? 0;
    numbers[at] = numbers[other] ?? 0;
    numbers[other] = held;
  }
  return numbers;
}
