import { X509Certificate } from "node:crypto";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Answers } from "../../protocol/leases/leased-sessions.ts";
import { HEADER_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import {
  ERROR_RESPONSE_TYPE,
  REQUEST_TYPES,
  SERVICE_KEY_RESPONSE_TYPE,
  serviceRequestKind,
} from "../../protocol/service-packets.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import { Status, statusName } from "../../protocol/status-codes.ts";
import { WATCH_RESPONSE_TYPE } from "../../protocol/watch-packets.ts";
import type { DisconnectCode, LimitCode } from "../core/connection-limits.ts";
import type { TlsIdentity } from "../core/tls-identity.ts";
import type { DispatchMetrics } from "../edge/batch-dispatcher.ts";
import type { EdgeFailureCode } from "../edge/edge-client.ts";
import type { GameConnectionMetrics } from "../game/game-port.ts";

/** Read when the metrics are requested. */
export interface GaugeSources {
  readonly connections: () => number;
  readonly batchesInFlight: () => number;
  readonly packetsWaiting: () => number;
}

/** In seconds: from less than the latency of an edge in the same rack to the deadline of the bridge. */
const LATENCY_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];

/** In packets, up to a full batch. */
const BATCH_BUCKETS_PACKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, MAX_BATCH_REQUESTS];

/** The metrics of the bridge, for Prometheus. No label contains a session, a user or an address. */
export class BridgeMetrics implements DispatchMetrics, GameConnectionMetrics {
  readonly registry = new Registry();
  readonly #packets = new PacketTally();
  /** Responses from memory. A plain number: it grows with every chunk that is received. */
  #fromMemory = 0;
  readonly #batchPackets: Histogram;
  readonly #edgeSeconds: Histogram<"outcome">;
  readonly #refusals: Counter<"code">;
  readonly #disconnects: Counter<"code">;

  constructor(sources: GaugeSources) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    gauge(registers, "artoria_bridge_connections", "Connections of game servers", sources.connections);
    gauge(
      registers,
      "artoria_bridge_batches_in_flight",
      "Batches without a response of the edge",
      sources.batchesInFlight,
    );
    gauge(registers, "artoria_bridge_packets_waiting", "Packets that wait for a batch", sources.packetsWaiting);
    counter(
      registers,
      "artoria_bridge_cache_hits_total",
      "Checks that the bridge answered from memory",
      () => this.#fromMemory,
    );
    const packets = this.#packets;
    counter(
      registers,
      "artoria_bridge_cache_misses_total",
      "Checks that the bridge did not answer from memory",
      () => packets.checks - this.#fromMemory,
    );
    new Counter({
      name: "artoria_bridge_packets_total",
      help: "Response packets by the type of their request and their status",
      labelNames: ["type", "status"],
      registers,
      collect() {
        this.reset();
        for (const { type, status, count } of packets.entries()) this.inc({ type, status }, count);
      },
    });
    this.#batchPackets = new Histogram({
      name: "artoria_bridge_batch_packets",
      help: "Packets in a batch",
      buckets: BATCH_BUCKETS_PACKETS,
      registers,
    });
    this.#edgeSeconds = new Histogram({
      name: "artoria_bridge_edge_seconds",
      help: "Duration of a request to the edge, by its outcome: ok, or the code of a failure",
      labelNames: ["outcome"],
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    });
    this.#refusals = new Counter({
      name: "artoria_bridge_refusals_total",
      help: "Connections and requests that a limit refused, by the code of the limit",
      labelNames: ["code"],
      registers,
    });
    this.#disconnects = new Counter({
      name: "artoria_bridge_disconnects_total",
      help: "Connections that ended, by the code of the reason",
      labelNames: ["code"],
      registers,
    });
  }

  /** The checks of game servers. */
  get answers(): Answers {
    return { answered: this.#packets.checks, fromMemory: this.#fromMemory };
  }

  responsesSent(responses: Uint8Array): void {
    this.#packets.add(responses);
  }

  answeredFromMemory(responses: number): void {
    this.#fromMemory += responses;
  }

  batchSent(packets: number): void {
    this.#batchPackets.observe(packets);
  }

  attemptDone(durationMs: number, failure: EdgeFailureCode | undefined): void {
    this.#edgeSeconds.observe({ outcome: failure ?? "ok" }, durationMs / 1000);
  }

  refused(code: LimitCode, count = 1): void {
    this.#refusals.inc({ code }, count);
  }

  disconnected(code: DisconnectCode): void {
    this.#disconnects.inc({ code });
  }

  close(): void {
    this.registry.clear();
  }
}

function gauge(registers: Registry[], name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers,
    collect() {
      this.set(read());
    },
  });
}

/** A counter that someone else counts. */
function counter(registers: Registry[], name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers,
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

const STATUSES = Object.values(Status);

/** The requests that memory can answer. */
const CHECK_TYPES = [REQUEST_TYPES.check, REQUEST_TYPES.checkAccess, REQUEST_TYPES.identify];

/** Counts response packets by type and status, in an array: it runs for every packet. */
class PacketTally {
  readonly #counts = new Float64Array((ERROR_RESPONSE_TYPE + 1) * STATUSES.length);

  /** Counts whole, well-formed response packets. */
  add(responses: Uint8Array): void {
    for (let at = 0; at < responses.byteLength; at += packetSizeAt(responses, at)) {
      const cell = packetType(responses, at) * STATUSES.length + (responses[at + HEADER_BYTES] ?? 0);
      this.#counts[cell] = (this.#counts[cell] ?? 0) + 1;
    }
  }

  /** Checks of all kinds, whatever their status. */
  get checks(): number {
    let sum = 0;
    for (const type of CHECK_TYPES) {
      for (const status of STATUSES) sum += this.#counts[(type + 1) * STATUSES.length + status] ?? 0;
    }
    return sum;
  }

  /** Every count but 0, with the kind of the request ("unknown" for an ErrorResponse) and the name of the status. */
  *entries(): Iterable<{ readonly type: string; readonly status: string; readonly count: number }> {
    for (let type = 0; type <= ERROR_RESPONSE_TYPE; type++) {
      for (const status of STATUSES) {
        const count = this.#counts[type * STATUSES.length + status] ?? 0;
        if (count > 0) yield { type: kindOf(type), status: statusName(status), count };
      }
    }
  }
}

function kindOf(responseType: number): string {
  if (responseType === WATCH_RESPONSE_TYPE) return "watch";
  if (responseType === SERVICE_KEY_RESPONSE_TYPE) return "serviceKey";
  return serviceRequestKind(responseType - 1) ?? "unknown";
}

/** What an operator has set up for a port. */
export interface PortSetup {
  readonly maxConnections: number;
  /** What the port uses now; undefined without TLS. */
  readonly identity: () => TlsIdentity | undefined;
}

/** Adds what operators have set up: the version of the bridge, and the limits and certificates of its ports. */
export function registerSetup(registry: Registry, version: string, ports: Readonly<Record<string, PortSetup>>): void {
  const registers = [registry];
  const info = new Gauge({
    name: "artoria_bridge_info",
    help: "1, with the version of the bridge",
    labelNames: ["version"],
    registers,
  });
  info.set({ version }, 1);
  const maxConnections = new Gauge({
    name: "artoria_bridge_max_connections",
    help: "Connections that a port takes at the same time: game, player or check",
    labelNames: ["port"],
    registers,
  });
  for (const [port, { maxConnections: limit }] of Object.entries(ports)) maxConnections.set({ port }, limit);
  new Gauge({
    name: "artoria_bridge_certificate_expiry_timestamp_seconds",
    help: "When the certificate that the bridge has loaded for a port expires, Unix time",
    labelNames: ["port"],
    registers,
    collect() {
      for (const [port, { identity }] of Object.entries(ports)) {
        const cert = identity()?.cert;
        // Of a chain the first certificate is the port's own, and is read.
        if (cert !== undefined) this.set({ port }, Date.parse(new X509Certificate(cert).validTo) / 1000);
      }
    },
  });
}
