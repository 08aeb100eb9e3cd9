import type { AddressInfo } from "node:net";
import { AddressBook } from "../core/admission.ts";
import { type Endpoint, Listener, type PortObserver } from "../core/listener.ts";
import type { TlsIdentity, TlsPort } from "../core/tls-identity.ts";
import { PlayerConnection, type PlayerConnectionOptions } from "./player-connection.ts";
import { PlayerAddress, type PlayerPortLimits } from "./player-limits.ts";
import { RoomSockets } from "./room-socket.ts";

/** Where players connect. */
export interface PlayerPortConfig {
  readonly endpoint: Endpoint;
  readonly limits: PlayerPortLimits;
}

/** The port for players, a relay to their rooms (docs/wire-protocol.md, "Player packets"). */
export class PlayerPort implements TlsPort {
  readonly #listener: Listener;
  readonly #roomSockets: RoomSockets;
  readonly #queued = new Set<PlayerConnection>();

  constructor(
    { endpoint, limits }: PlayerPortConfig,
    edgeUrl: URL,
    parts: Pick<PlayerConnectionOptions, "metrics" | "failureLog">,
    observer: PortObserver,
  ) {
    this.#roomSockets = new RoomSockets({ edgeUrl, deadlineMs: limits.edgeDeadlineMs });
    const addresses = new AddressBook(() => new PlayerAddress(limits));
    const options = { ...parts, limits, roomSockets: this.#roomSockets, addresses, queued: this.#queued };
    this.#listener = new Listener(endpoint, (context) => new PlayerConnection(context, options), {
      ...observer,
      limits,
      shortestMs: Math.min(limits.joinMs, limits.failedJoinDelayMs),
      headerMs: limits.joinMs,
      // Nothing can be sent before the TLS handshake.
      refusal: () => new Uint8Array(0),
    });
  }

  get connections(): number {
    return this.#listener.connections;
  }

  /** Joins that are queued until others of their address have their responses. */
  get joinsWaiting(): number {
    return this.#queued.size;
  }

  /** Starts to listen. Rejects with the system's error, for example EADDRINUSE. */
  open(): Promise<AddressInfo> {
    return this.#listener.open();
  }

  useIdentity(identity: TlsIdentity): void {
    this.#listener.useIdentity(identity);
  }

  /** Sends every player Closed(GoingAway), and resolves when all are gone: after `deadlineMs` and 1 s at the latest. */
  async drain(deadlineMs: number): Promise<void> {
    await this.#listener.drain(deadlineMs);
    await this.#roomSockets.close();
  }

  /** Disconnects all players, within 1 s. */
  async close(): Promise<void> {
    await this.#listener.close();
    await this.#roomSockets.close();
  }
}
