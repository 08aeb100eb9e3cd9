import { Status } from "../../protocol/status.ts";
import type { ConnectionLimits } from "../core/connection-limits.ts";
import type { LimitCode } from "../core/disconnect-code.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { Listener, type ListenerOptions } from "../core/listener.ts";
import { errorAnswer } from "../edge/own-answers.ts";
import { GameSession, type GameSessionOptions } from "./game-session.ts";

/** The limits of the game-server port. */
export interface GamePortLimits extends ConnectionLimits {
  /** Packets of one connection that may wait; then its reading pauses. */
  readonly maxWaitingPackets: number;
  /** NotFound and Denied verdicts of one connection a minute; then its checks and deletes are answered TooMany. */
  readonly maxFailuresPerMinute: number;
}

/** The port where game servers ask (docs/wire-protocol.md, "Service packets"). */
export function createGamePort(
  endpoint: Endpoint,
  limits: GamePortLimits,
  session: Pick<GameSessionOptions, "dispatcher" | "onAnswers" | "onTooManyFailures">,
  observer: Pick<ListenerOptions, "onRefused" | "onClosed" | "onFault">,
): Listener {
  const { maxWaitingPackets, maxFailuresPerMinute } = limits;
  const options: GameSessionOptions = { ...session, maxWaitingPackets, maxFailuresPerMinute };
  return new Listener(endpoint, (context) => new GameSession(context, options), { ...observer, limits, refusal });
}

function refusal(code: LimitCode): Uint8Array {
  return errorAnswer(Status.TooMany, code);
}
