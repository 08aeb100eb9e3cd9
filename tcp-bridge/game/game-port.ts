import { Status } from "../../protocol/status-codes.ts";
import { AddressBook } from "../core/address-book.ts";
import type { ConnectionLimits, LimitCode } from "../core/connection-limits.ts";
import type { Endpoint } from "../core/listener.ts";
import { Listener, type ListenerOptions } from "../core/listener.ts";
import { errorResponse } from "../edge/response-packets.ts";
import { GameAddress, type GameAddressLimits, ServiceKeys } from "./game-access.ts";
import { GameSession, type GameSessionOptions } from "./game-session.ts";

/** The limits of the game-server port. */
export interface GamePortLimits extends ConnectionLimits, GameAddressLimits {
  /** A connection without a certificate of the port's authority must send its first byte within this time. */
  readonly firstByteMs: number;
  /** Packets of one connection that may wait; then its reading pauses. */
  readonly maxWaitingPackets: number;
}

/** Where game servers connect, and who of them may ask. */
export interface GamePortConfig extends Endpoint {
  /** Of these a client must show one first; none: it need not. */
  readonly serviceKeys: readonly string[];
}

/** The port where game servers ask (docs/wire-protocol.md, "Service packets"). */
export function createGamePort(
  config: GamePortConfig,
  limits: GamePortLimits,
  session: Pick<GameSessionOptions, "dispatcher" | "onResponses" | "onTooManyFailures" | "onTooManyKeys">,
  observer: Pick<ListenerOptions, "onRefused" | "onClosed" | "onFault">,
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
