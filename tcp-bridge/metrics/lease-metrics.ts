import { Counter, Gauge, type Registry } from "prom-client";
import type { HubEndCode, HubMetrics } from "../leases/hub-connection.ts";

/** Read when the metrics are requested. */
export interface LeaseSources {
  /** Sessions that the bridge keeps. */
  readonly keptSessions: () => number;
  /** Whether the bridge may answer by them now. */
  readonly holdsLease: () => boolean;
}

/** The metrics of the bridge's memory and its lease, for Prometheus. No label contains a session or a user. */
export class LeaseMetrics implements HubMetrics {
  readonly #granted: Gauge;
  readonly #messages: Counter<"kind">;
  readonly #acks: Counter;
  readonly #connections: Counter;
  readonly #disconnects: Counter<"code">;

  /** `maxSessions`: how many sessions the bridge may keep; 0: it keeps none, and asks for no lease. */
  constructor(registry: Registry, maxSessions: number, { keptSessions, holdsLease }: LeaseSources) {
    const registers = [registry];
    new Gauge({
      name: "artoria_bridge_cache_sessions",
      help: "Sessions that the bridge keeps",
      registers,
      collect() {
        this.set(keptSessions());
      },
    });
    new Gauge({
      name: "artoria_bridge_cache_max_sessions",
      help: "Sessions that the bridge may keep; 0: it keeps none, and asks for no lease",
      registers,
    }).set(maxSessions);
    new Gauge({
      name: "artoria_bridge_lease_held",
      help: "1 while the bridge may answer from memory",
      registers,
      collect() {
        this.set(holdsLease() ? 1 : 0);
      },
    });
    this.#granted = new Gauge({
      name: "artoria_bridge_lease_granted_timestamp_seconds",
      help: "When the hub last granted a lease, Unix time; 0: never",
      registers,
    });
    this.#messages = new Counter({
      name: "artoria_bridge_hub_messages_total",
      help: "Messages of the hub: granted (a lease was renewed), changes (sessions ended or changed), reset (all are forgotten)",
      labelNames: ["kind"],
      registers,
    });
    for (const kind of ["granted", "changes", "reset"]) this.#messages.inc({ kind }, 0);
    this.#acks = new Counter({
      name: "artoria_bridge_hub_acks_total",
      help: "Changes and resets of the hub that the bridge has acknowledged",
      registers,
    });
    this.#connections = new Counter({
      name: "artoria_bridge_hub_connections_total",
      help: "Connections to the hub that were opened",
      registers,
    });
    this.#disconnects = new Counter({
      name: "artoria_bridge_hub_disconnects_total",
      help: "Connections to the hub that were lost, and dials that failed, by the code of the reason",
      labelNames: ["code"],
      registers,
    });
  }

  connected(): void {
    this.#connections.inc();
  }

  leaseGranted(): void {
    this.#granted.setToCurrentTime();
    this.#messages.inc({ kind: "granted" });
  }

  changesReceived(): void {
    this.#messages.inc({ kind: "changes" });
  }

  resetReceived(): void {
    this.#messages.inc({ kind: "reset" });
  }

  ackSent(): void {
    this.#acks.inc();
  }

  disconnected(code: HubEndCode): void {
    this.#disconnects.inc({ code });
  }
}
