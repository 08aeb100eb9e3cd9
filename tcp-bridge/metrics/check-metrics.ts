import { Counter, Gauge, type Registry } from "prom-client";
import type { CheckResponse, CheckSource } from "../../protocol/check/check-response.ts";
import type { Answers } from "../../protocol/leases/leased-sessions.ts";
import type { CheckPortMetrics } from "../check/check-port.ts";
import type { LimitCode } from "../core/connection-limits.ts";

/** The metrics of the check port, for Prometheus. No label contains a session, a user or an address. */
export class CheckMetrics implements CheckPortMetrics {
  /** By source and status, because it runs for every request. */
  readonly #answered = new Map<CheckSource, Map<number, number>>();
  readonly #delayed: Counter;
  readonly #refusals: Counter<"code">;

  /** `sources` are read when the metrics are requested. */
  constructor(registry: Registry, sources: { readonly connections: () => number }) {
    const registers = [registry];
    const answered = this.#answered;
    new Gauge({
      name: "artoria_bridge_check_connections",
      help: "Connections to the check port",
      registers,
      collect() {
        this.set(sources.connections());
      },
    });
    new Counter({
      name: "artoria_bridge_checks_total",
      help: "Responses of the check port by their HTTP status and their source: lease, store, or bridge without a lookup",
      labelNames: ["status", "source"],
      registers,
      collect() {
        this.reset();
        for (const [source, byStatus] of answered) {
          for (const [status, count] of byStatus) this.inc({ status, source }, count);
        }
      },
    });
    this.#delayed = new Counter({
      name: "artoria_bridge_checks_delayed_total",
      help: "Responses of the check port that were delayed, because their address showed too many tokens of no session",
      registers,
    });
    this.#refusals = new Counter({
      name: "artoria_bridge_check_refusals_total",
      help: "Connections to the check port and requests that a limit refused, by the code of the limit",
      labelNames: ["code"],
      registers,
    });
  }

  /** The checks that were looked up. */
  get answers(): Answers {
    const [fromMemory, fromStore] = [this.#answeredBy("lease"), this.#answeredBy("store")];
    return { answered: fromMemory + fromStore, fromMemory };
  }

  answered({ status, source }: CheckResponse): void {
    let byStatus = this.#answered.get(source);
    if (byStatus === undefined) {
      byStatus = new Map();
      this.#answered.set(source, byStatus);
    }
    byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
  }

  delayed(): void {
    this.#delayed.inc();
  }

  refused(code: LimitCode): void {
    this.#refusals.inc({ code });
  }

  #answeredBy(source: CheckSource): number {
    let sum = 0;
    for (const count of this.#answered.get(source)?.values() ?? []) sum += count;
    return sum;
  }
}
