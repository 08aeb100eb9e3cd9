import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { writeServiceRequest } from "../../protocol/service-packets.ts";
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

/** Every response to a load has this many bytes (docs/wire-protocol.md: size, type, status). */
const RESPONSE_BYTES = 5;
const STATUS_OFFSET = 4;

/** The buffer of each connection, which every read fills again. */
const READ_BYTES = 64 * 1024;

/**
 * One connection of a game server that sends windows of packets, as `redis-benchmark -P` does: each window is one write, and
 * the next one follows when all responses to it are here. A status other than Ok ends the load.
 */
class PacketConnection {
  readonly #nextWindow: () => Uint8Array | undefined;
  readonly #windowResponseBytes: number;
  readonly #socket: Socket;
  #receivedBytes = 0;
  #windows = 0;
  #untilMs = 0;
  #finished: (() => void) | undefined;

  private constructor(port: number, windowPackets: number, nextWindow: () => Uint8Array | undefined) {
    this.#nextWindow = nextWindow;
    this.#windowResponseBytes = windowPackets * RESPONSE_BYTES;
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    this.#socket = connect({
      host: "127.0.0.1",
      port,
      noDelay: true,
      onread: {
        buffer,
        callback: (bytes) => {
          this.#receive(buffer, bytes);
          return true;
        },
      },
    });
  }

  static async open(
    port: number,
    windowPackets: number,
    nextWindow: () => Uint8Array | undefined,
  ): Promise<PacketConnection> {
    const connection = new PacketConnection(port, windowPackets, nextWindow);
    await once(connection.#socket, "connect");
    connection.#socket.on("close", () => {
      throw new Error("the server closed the connection");
    });
    return connection;
  }

  /** Sends until `untilMs` or the last window, waits for the responses, and resolves with the number of windows. */
  async run(untilMs: number): Promise<number> {
    this.#windows = 0;
    this.#untilMs = untilMs;
    const finished = new Promise<void>((resolve) => {
      this.#finished = resolve;
    });
    this.#send();
    await finished;
    return this.#windows;
  }

  #receive(buffer: Buffer, bytes: number): void {
    const toStatus = (STATUS_OFFSET - (this.#receivedBytes % RESPONSE_BYTES) + RESPONSE_BYTES) % RESPONSE_BYTES;
    for (let at = toStatus; at < bytes; at += RESPONSE_BYTES) {
      if (buffer[at] !== 0) throw new Error(`a response with status ${buffer[at]}`);
    }
    this.#receivedBytes += bytes;
    if (this.#receivedBytes < this.#windowResponseBytes) return;
    this.#receivedBytes = 0;
    this.#windows += 1;
    this.#send();
  }

  #send(): void {
    const window = performance.now() < this.#untilMs ? this.#nextWindow() : undefined;
    if (window === undefined) this.#finished?.();
    else this.#socket.write(window);
  }
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
