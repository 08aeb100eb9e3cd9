import type { AddressInfo } from "node:net";
import { AddressBook } from "../core/address-book.ts";
import type { Endpoint } from "../core/listener.ts";
import { Listener, type ListenerOptions } from "../core/listener.ts";
import type { PlayerPortLimits } from "./player-limits.ts";
import { PlayerAddress } from "./player-limits.ts";
import { type PlayerObserver, PlayerSession, type PlayerSessionOptions } from "./player-session.ts";
import { RoomSockets } from "./room-socket.ts";

/** Where players come in. */
export interface PlayerPortConfig {
  readonly endpoint: Endpoint;
  readonly limits: PlayerPortLimits;
}

/** Who watches the port. */
export type PlayerPortObserver = PlayerObserver & Pick<ListenerOptions, "onRefused" | "onClosed" | "onFault">;

/** The port of players, in front of the rooms (docs/wire-protocol.md, "Player packets"). */
export class PlayerPort {
  readonly #listener: Listener;
  readonly #paths: RoomSockets;
  readonly #waiting = new Set<PlayerSession>();

  constructor({ endpoint, limits }: PlayerPortConfig, edgeUrl: URL, observer: PlayerPortObserver) {
    this.#paths = new RoomSockets({ edgeUrl, timeoutMs: limits.edgeDeadlineMs });
    const addresses = new AddressBook(() => new PlayerAddress(limits));
    const options: PlayerSessionOptions = {
      limits,
      roomSockets: this.#paths,
      addresses,
      waiting: this.#waiting,
      observer,
    };
    this.#listener = new Listener(endpoint, (context) => new PlayerSession(context, options), {
      limits,
      shortestMs: Math.min(limits.joinMs, limits.failedJoinDelayMs),
      // Before the TLS handshake nothing can be said.
      refusal: () => new Uint8Array(0),
      onRefused: (code) => observer.onRefused(code),
      onClosed: (code) => observer.onClosed(code),
      onFault: (error) => observer.onFault(error),
    });
  }

  get connections(): number {
    return this.#listener.connections;
  }

  /** Joins that wait until others of their address are answered. */
  get joinsWaiting(): number {
    return this.#waiting.size;
  }

  /** Starts to listen. Rejects with the system's error, EADDRINUSE for one. */
  open(): Promise<AddressInfo> {
    return this.#listener.open();
  }

  /** Tells every player to go to another bridge, and resolves when all are gone: `deadlineMs` and 1 s at most. */
  async drain(deadlineMs: number): Promise<void> {
    await this.#listener.drain(deadlineMs);
    await this.#paths.close();
  }

  /** Disconnects everybody; within 1 s. */
  async close(): Promise<void> {
    await this.#listener.close();
    await this.#paths.close();
  }
}
