import { Counter, Gauge, type Registry } from "prom-client";
import { closedCodeName } from "../../protocol/closed-codes.ts";
import type { DisconnectCode, LimitCode } from "../core/connection-limits.ts";
import type { JoinOutcome, PlayerConnectionMetrics } from "../player/player-connection.ts";

/** The metrics of the player port, for Prometheus. No label contains a session, a user, a room or an address. */
export class PlayerMetrics implements PlayerConnectionMetrics {
  readonly #joins: Counter<"outcome">;
  readonly #packets: Counter<"direction">;
  readonly #bytes: Counter<"direction">;
  readonly #closed: Counter<"code" | "by">;
  readonly #refusals: Counter<"code">;
  readonly #disconnects: Counter<"code">;

  /** `sources` are read when the metrics are requested. */
  constructor(
    registry: Registry,
    sources: { readonly connections: () => number; readonly joinsWaiting: () => number },
  ) {
    const registers = [registry];
    new Gauge({
      name: "artoria_bridge_player_connections",
      help: "Connections of players",
      registers,
      collect() {
        this.set(sources.connections());
      },
    });
    new Gauge({
      name: "artoria_bridge_player_joins_waiting",
      help: "Joins that are queued, because too many of their address have failed and too many are in flight",
      registers,
      collect() {
        this.set(sources.joinsWaiting());
      },
    });
    this.#joins = new Counter({
      name: "artoria_bridge_player_joins_total",
      help: "Joins by their outcome: joined, resumed, or the name of the code of Closed",
      labelNames: ["outcome"],
      registers,
    });
    this.#packets = new Counter({
      name: "artoria_bridge_player_packets_total",
      help: "Packets relayed between players and rooms",
      labelNames: ["direction"],
      registers,
    });
    this.#bytes = new Counter({
      name: "artoria_bridge_player_bytes_total",
      help: "Bytes relayed between players and rooms",
      labelNames: ["direction"],
      registers,
    });
    this.#closed = new Counter({
      name: "artoria_bridge_player_closed_total",
      help: "Closed packets by the name of their code, and by their author, the room or the bridge",
      labelNames: ["code", "by"],
      registers,
    });
    this.#refusals = new Counter({
      name: "artoria_bridge_player_refusals_total",
      help: "Connections and Joins of players that a limit refused, by the code of the limit",
      labelNames: ["code"],
      registers,
    });
    this.#disconnects = new Counter({
      name: "artoria_bridge_player_disconnects_total",
      help: "Connections of players that ended, by the code of the reason",
      labelNames: ["code"],
      registers,
    });
  }

  joinDone(outcome: JoinOutcome): void {
    this.#joins.inc({ outcome: typeof outcome === "number" ? closedCodeName(outcome) : outcome });
  }

  relayed(direction: "to_room" | "to_player", packets: number, bytes: number): void {
    this.#packets.inc({ direction }, packets);
    this.#bytes.inc({ direction }, bytes);
  }

  closedSent(code: number, by: "bridge" | "room"): void {
    this.#closed.inc({ code: closedCodeName(code), by });
  }

  refused(code: LimitCode): void {
    this.#refusals.inc({ code });
  }

  disconnected(code: DisconnectCode): void {
    this.#disconnects.inc({ code });
  }
}
