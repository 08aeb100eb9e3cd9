import { Status } from "../../protocol/status-codes.ts";
import { AddressBook } from "../core/address-book.ts";
import type { ConnectionLimits, LimitCode } from "../core/connection-limits.ts";
import { type Endpoint, Listener, type PortObserver } from "../core/listener.ts";
import { errorResponse } from "../edge/response-packets.ts";
import { GameAddress, type GameAddressLimits, ServiceKeys } from "./game-access.ts";
import { GameSession, type GameSessionOptions } from "./game-session.ts";

/** The limits of the game-server port. */
export interface GamePortLimits extends ConnectionLimits, GameAddressLimits {
  /** A connection without a certificate of the port's authority must send its first byte within this time. */
  readonly firstByteMs: number;
  /** While this many packets of one connection wait, the bridge does not read from it. */
  readonly maxWaitingPackets: number;
}

/** Where game servers connect, and which of them may send requests. */
export interface GamePortConfig extends Endpoint {
  /** A client must show one of these first. Empty: it need not show any. */
  readonly serviceKeys: readonly string[];
}

/** The port for game servers (docs/wire-protocol.md, "Service packets"). */
export function createGamePort(
  config: GamePortConfig,
  limits: GamePortLimits,
  session: Pick<GameSessionOptions, "dispatcher" | "metrics">,
  observer: PortObserver,
): Listener {
  const { maxWaitingPackets, firstByteMs } = limits;
  const serviceKeys = new ServiceKeys(config.serviceKeys);
  const addresses = new AddressBook(() => new GameAddress(limits));
  const options: GameSessionOptions = { ...session, maxWaitingPackets, firstByteMs, serviceKeys, addresses };
  return new Listener(config, (context) => new GameSession(context, options), {
    ...observer,
    limits,
    shortestMs: firstByteMs,
    refusal,
  });
}

function refusal(code: LimitCode): Uint8Array {
  return errorResponse(Status.TooMany, code);
}
