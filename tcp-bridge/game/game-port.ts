import { Status } from "../../protocol/status-codes.ts";
import { AddressBook } from "../core/admission.ts";
import type { ConnectionLimits, LimitCode } from "../core/connection-limits.ts";
import { type Endpoint, Listener, type PortObserver } from "../core/listener.ts";
import { errorResponse } from "../edge/batch.ts";
import { GameAddress, type GameAddressLimits, KnownLimits, ServiceKeys } from "./game-access.ts";
import { GameConnection, type GameConnectionOptions } from "./game-connection.ts";

/** The limits of the game-server port. */
export interface GamePortLimits extends ConnectionLimits, GameAddressLimits {
  /** A connection without a certificate of the port's authority must send its first byte within this time. */
  readonly firstByteMs: number;
  /** While this many packets of one connection wait, the bridge does not read from it. */
  readonly maxWaitingPackets: number;
  /** A connection that watches and knows more sessions is told of the ends of all sessions. */
  readonly maxKnownSessions: number;
}

/** Where game servers connect, and which of them may send requests. */
export interface GamePortConfig extends Endpoint {
  /** A client must show one of these first. Empty: it need not show any. */
  readonly serviceKeys: readonly string[];
}

/** What the port uses of the bridge. */
export type GamePortParts = Pick<GameConnectionOptions, "dispatcher" | "kept" | "watches" | "metrics">;

/** The port for game servers (docs/wire-protocol.md, "Service packets"). */
export function createGamePort(
  config: GamePortConfig,
  limits: GamePortLimits,
  parts: GamePortParts,
  observer: PortObserver,
): Listener {
  const { maxWaitingPackets, firstByteMs, maxKnownSessions } = limits;
  const serviceKeys = new ServiceKeys(config.serviceKeys);
  const addresses = new AddressBook(() => new GameAddress(limits));
  const knownLimits = new KnownLimits(maxKnownSessions);
  const own = { maxWaitingPackets, firstByteMs, serviceKeys, addresses, knownLimits };
  const options: GameConnectionOptions = { ...parts, ...own };
  return new Listener(config, (context) => new GameConnection(context, options), {
    ...observer,
    limits,
    shortestMs: firstByteMs,
    refusal,
  });
}

function refusal(code: LimitCode): Uint8Array {
  return errorResponse(Status.TooMany, code);
}
