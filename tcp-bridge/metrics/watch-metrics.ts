import { Counter, Gauge, type Registry } from "prom-client";
import type { WatchesOptions } from "../watches/watches.ts";

/** Read when the metrics are requested. */
export interface WatchGaugeSources {
  readonly watchers: () => number;
  readonly isUp: () => boolean;
}

/** The metrics of watches, for Prometheus. No label contains a session, a user or an address. */
export class WatchMetrics {
  readonly #events: Counter;
  readonly #reconnects: Counter;
  readonly #notices: Counter<"kind">;
  readonly #catchUps: Counter<"source">;
  readonly #pages: Counter<"outcome">;
  readonly #resets: Counter;

  constructor(registry: Registry, sources: WatchGaugeSources) {
    const registers = [registry];
    new Gauge({
      name: "artoria_bridge_watchers",
      help: "Connections of game servers that watch",
      registers,
      collect() {
        this.set(sources.watchers());
      },
    });
    new Gauge({
      name: "artoria_bridge_watch_stream_up",
      help: "1 while the bridge reads the edge's events, or nobody watches",
      registers,
      collect() {
        this.set(sources.isUp() ? 1 : 0);
      },
    });
    this.#events = new Counter({
      name: "artoria_bridge_watch_events_total",
      help: "Ends of sessions that the edge has told",
      registers,
    });
    this.#reconnects = new Counter({
      name: "artoria_bridge_watch_reconnects_total",
      help: "How often the bridge has asked for the edge's events again, because it had lost or not got them",
      registers,
    });
    this.#notices = new Counter({
      name: "artoria_bridge_watch_notices_total",
      help: "SessionEnded packets to game servers by what they tell: ended, checkpoint or reset",
      labelNames: ["kind"],
      registers,
    });
    this.#catchUps = new Counter({
      name: "artoria_bridge_watch_catch_ups_total",
      help: "Watches that began at an earlier position, by where it was found: memory (of the bridge) or edge",
      labelNames: ["source"],
      registers,
    });
    this.#pages = new Counter({
      name: "artoria_bridge_watch_pages_total",
      help: "Pages of the session log for watches that catch up, by outcome: ends, gone, invalid or failed",
      labelNames: ["outcome"],
      registers,
    });
    this.#resets = new Counter({
      name: "artoria_bridge_watch_resets_total",
      help: "How often the edge's events went on after a hole",
      registers,
    });
  }

  readonly endReceived: WatchesOptions["metrics"]["endReceived"] = () => this.#events.inc();
  readonly reconnected: WatchesOptions["metrics"]["reconnected"] = () => this.#reconnects.inc();
  readonly told: WatchesOptions["metrics"]["told"] = (kind) => this.#notices.inc({ kind });
  readonly caughtUp: WatchesOptions["metrics"]["caughtUp"] = (source) => this.#catchUps.inc({ source });
  readonly pageRead: WatchesOptions["metrics"]["pageRead"] = (outcome) => this.#pages.inc({ outcome });
  readonly resetReceived: WatchesOptions["metrics"]["resetReceived"] = () => this.#resets.inc();
}
