import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { HEADER_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { ERROR_RESPONSE_TYPE, SERVICE_KEY_RESPONSE_TYPE, serviceRequestKind } from "../../protocol/service-packets.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import { Status, statusName } from "../../protocol/status-codes.ts";
import type { DisconnectCode, LimitCode } from "../core/connection-limits.ts";
import type { EdgeFailureCode } from "../edge/edge-client.ts";

/** What the gauges read when somebody asks. */
export interface GaugeSources {
  readonly connections: () => number;
  readonly batchesInFlight: () => number;
  readonly packetsWaiting: () => number;
}

/** From below the edge's own time in the same rack to the bridge's deadline, in seconds. */
const LATENCY_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];

/** Up to a full batch. */
const BATCH_BUCKETS_PACKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, MAX_BATCH_REQUESTS];

/** What the bridge counts, in Prometheus' format. No label holds a session, a user or an address. */
export class BridgeMetrics {
  readonly registry = new Registry();
  readonly packets = new PacketTally();
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
      "Batches that the edge has not answered",
      sources.batchesInFlight,
    );
    gauge(
      registers,
      "artoria_bridge_packets_waiting",
      "Packets that no batch had room for yet",
      sources.packetsWaiting,
    );
    const { packets } = this;
    new Counter({
      name: "artoria_bridge_packets_total",
      help: "Answered request packets by type and status",
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
      help: "Time of an attempt to ask the edge, by its outcome: ok or a failure's code",
      labelNames: ["outcome"],
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    });
    this.#refusals = new Counter({
      name: "artoria_bridge_refusals_total",
      help: "Connections and requests that a limit refused, by the limit's code",
      labelNames: ["code"],
      registers,
    });
    this.#disconnects = new Counter({
      name: "artoria_bridge_disconnects_total",
      help: "Connections that ended, by the reason's code",
      labelNames: ["code"],
      registers,
    });
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

const STATUSES = Object.values(Status);

/** Counts answered packets by type and status: an array cell for each, because it runs once for every packet. */
export class PacketTally {
  readonly #counts = new Float64Array((ERROR_RESPONSE_TYPE + 1) * STATUSES.length);

  /** Counts whole answer packets that are known to be well-formed. */
  add(answers: Uint8Array): void {
    for (let at = 0; at < answers.byteLength; at += packetSizeAt(answers, at)) {
      const cell = packetType(answers, at) * STATUSES.length + (answers[at + HEADER_BYTES] ?? 0);
      this.#counts[cell] = (this.#counts[cell] ?? 0) + 1;
    }
  }

  /** Every count that is not 0, with the request's kind ("unknown" for an ErrorResponse) and the status's name. */
  *entries(): Iterable<{ readonly type: string; readonly status: string; readonly count: number }> {
    for (let type = 0; type <= ERROR_RESPONSE_TYPE; type++) {
      for (const status of STATUSES) {
        const count = this.#counts[type * STATUSES.length + status] ?? 0;
        if (count > 0) yield { type: kindOf(type), status: statusName(status), count };
      }
    }
  }
}

function kindOf(answerType: number): string {
  if (answerType === SERVICE_KEY_RESPONSE_TYPE) return "serviceKey";
  return serviceRequestKind(answerType - 1) ?? "unknown";
}
