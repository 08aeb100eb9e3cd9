import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { startPacer } from "./pacer.ts";
import { loadJob, serveOrders } from "./serve-orders.ts";

/** Checks at fixed times, whether or not earlier ones were answered ("open loop"). */
export interface OpenJob {
  readonly protocol: "http" | "packets";
  /** Checks a second, from all places together. */
  readonly perSecond: number;
  /** Each place makes as many checks; its `weight` says how much they count. */
  readonly places: readonly OpenPlace[];
}

export interface OpenPlace {
  readonly port: number;
  readonly connections: number;
  readonly weight: number;
  /** The bytes of each request, as latin1, which are sent in turn. */
  readonly requests: readonly string[];
}

/** What is still to come when a leg ends must come within this time. */
const MAX_LATENCY_MS = 10_000;

/** One response of a packet: size, type, status (docs/wire-protocol.md). */
const PACKET_BYTES = 5;

/** The response in front of what was received: its size, 0 if it is not whole, and whether the session may enter. */
interface OpenResponse {
  readonly size: number;
  readonly isOk: boolean;
}

type TakeResponse = (received: Buffer) => OpenResponse;

const takePacket: TakeResponse = (received) => ({
  size: received.byteLength < PACKET_BYTES ? 0 : PACKET_BYTES,
  isOk: received[PACKET_BYTES - 1] === 0,
});

const LAST_CHUNK = "\r\n0\r\n\r\n";

const takeHttp: TakeResponse = (received) => {
  const head = received.indexOf("\r\n\r\n");
  if (head < 0) return { size: 0, isOk: false };
  const text = received.toString("latin1", 0, head);
  const isOk = text.startsWith("HTTP/1.1 200 ");
  if (/^transfer-encoding: *chunked/im.test(text)) {
    // workerd ends an empty body so; no chunk of a check's response has this text.
    const last = received.indexOf(LAST_CHUNK, head + 2);
    return { size: last < 0 ? 0 : last + LAST_CHUNK.length, isOk };
  }
  const size = head + 4 + Number(/^content-length: *(\d+)/im.exec(text)?.[1] ?? 0);
  return { size: received.byteLength < size ? 0 : size, isOk };
};

/** So few checks may fail, as one does whose connection is closed while it is on its way; their latency is infinite. */
const MAX_FAILED_SHARE = 0.005;

/** A connection, and the times at which its requests were due that have no response yet. */
class OpenConnection {
  readonly dueMs: number[] = [];
  readonly #port: number;
  readonly #take: TakeResponse;
  readonly #onResponse: (latencyMs: number) => void;
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);

  constructor(port: number, take: TakeResponse, onResponse: (latencyMs: number) => void) {
    this.#port = port;
    this.#take = take;
    this.#onResponse = onResponse;
  }

  /** Connects anew: servers close connections that were idle while another side was measured. */
  async open(): Promise<void> {
    this.#socket?.removeAllListeners("close").destroy();
    this.#received = Buffer.alloc(0);
    const socket = connect({ host: "127.0.0.1", port: this.#port, noDelay: true });
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("close", () => {
      if (this.dueMs.length > 0) throw new Error("the server closed a connection in use");
    });
    await once(socket, "connect");
  }

  send(request: Uint8Array, dueMs: number): void {
    this.dueMs.push(dueMs);
    this.#socket?.write(request);
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.byteLength === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    for (let next = this.#take(this.#received); next.size > 0; next = this.#take(this.#received)) {
      this.#received = this.#received.subarray(next.size);
      const dueMs = this.dueMs.shift();
      if (dueMs === undefined) throw new Error("a response to no request");
      this.#onResponse(next.isOk ? performance.now() - dueMs : Number.POSITIVE_INFINITY);
    }
  }
}

/** A place from which checks are made. Over HTTP a connection has one request at a time; the others wait, and the wait counts. */
class Place {
  readonly weight: number;
  readonly latenciesMs: number[] = [];
  readonly #requests: readonly Buffer[];
  readonly #connections: OpenConnection[];
  readonly #perConnection: number;
  readonly #waitingDueMs: number[] = [];
  #next = 0;

  constructor({ port, connections, weight, requests }: OpenPlace, protocol: OpenJob["protocol"]) {
    this.weight = weight;
    this.#requests = requests.map((text) => Buffer.from(text, "latin1"));
    this.#perConnection = protocol === "http" ? 1 : Number.POSITIVE_INFINITY;
    const take = protocol === "http" ? takeHttp : takePacket;
    this.#connections = Array.from(
      { length: connections },
      () => new OpenConnection(port, take, (latencyMs) => this.#responded(latencyMs)),
    );
  }

  async open(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.open()));
  }

  get isIdle(): boolean {
    return this.#connections.every(({ dueMs }) => dueMs.length === 0);
  }

  /** Makes a check that was due at this time. */
  check(dueMs: number): void {
    const connection = this.#connections.reduce((a, b) => (b.dueMs.length < a.dueMs.length ? b : a));
    if (connection.dueMs.length >= this.#perConnection) {
      this.#waitingDueMs.push(dueMs);
      return;
    }
    const request = this.#requests[this.#next++ % this.#requests.length];
    if (request !== undefined) connection.send(request, dueMs);
  }

  #responded(latencyMs: number): void {
    this.latenciesMs.push(latencyMs);
    const waiting = this.#waitingDueMs.shift();
    if (waiting !== undefined) this.check(waiting);
  }
}

const job = loadJob<OpenJob>();
const places = job.places.map((place) => new Place(place, job.protocol));

/** In the first leg isolates start, and connections are made. */
let isWarm = false;

serveOrders(async (untilMs) => {
  for (const { latenciesMs } of places) latenciesMs.length = 0;
  await Promise.all(places.map((place) => place.open()));
  await makeChecks(untilMs);
  const deadlineMs = performance.now() + MAX_LATENCY_MS;
  while (!places.every(({ isIdle }) => isIdle)) {
    if (performance.now() > deadlineMs) throw new Error(`no response within ${MAX_LATENCY_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const percentilesMs = weightedPercentiles();
  const [p50 = 0, p99 = 0] = [percentilesMs[49], percentilesMs[98]];
  const all = places.flatMap(({ latenciesMs }) => latenciesMs);
  const done = all.filter(Number.isFinite).length;
  const maxFailed = isWarm ? all.length * MAX_FAILED_SHARE : all.length;
  if (all.length - done > maxFailed) throw new Error(`${all.length - done} of ${all.length} checks failed`);
  isWarm = true;
  return { done, latencyMs: { p50, p99 }, percentilesMs };
});

/** Makes a check when it is due, place by place, until `untilMs`. */
function makeChecks(untilMs: number): Promise<void> {
  let made = 0;
  return new Promise((resolve) => {
    const pacer = startPacer(1_000 / job.perSecond, (dueMs) => {
      if (dueMs < untilMs) places[made++ % places.length]?.check(dueMs);
      else {
        pacer.stop();
        resolve();
      }
    });
  });
}

/** The 1st to the 99th percentile of all latencies, each counted with its place's weight. */
function weightedPercentiles(): number[] {
  const samples = places.flatMap(({ latenciesMs, weight }) =>
    latenciesMs.map((ms) => ({ ms, weight: weight / latenciesMs.length })),
  );
  samples.sort((a, b) => a.ms - b.ms);
  const total = samples.reduce((sum, { weight }) => sum + weight, 0);
  const percentiles: number[] = [];
  let weight = 0;
  for (const sample of samples) {
    weight += sample.weight;
    while (percentiles.length < 99 && weight >= ((percentiles.length + 1) / 100) * total) percentiles.push(sample.ms);
  }
  return percentiles;
}
