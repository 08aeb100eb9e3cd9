import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { DisconnectCode, LimitCode } from "../core/disconnect-code.ts";
import type { EdgeFailureCode } from "../edge/edge-result.ts";
import { PacketTally } from "./packet-tally.ts";

/** What the gauges read when somebody asks. */
export interface GaugeSources {
  readonly connections: () => number;
  readonly batchesInFlight: () => number;
  readonly packetsWaiting: () => number;
}

/** From below the edge's own time in the same rack to the bridge's deadline, in seconds. */
const LATENCY_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];

/** Up to a full batch. */
const BATCH_BUCKETS_PACKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000];

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
