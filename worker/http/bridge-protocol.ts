import type { Context } from "hono";
import {
  EDGE_HEADER,
  PACKAGE_VERSION,
  PROTOCOL_HEADER,
  partToUpgrade,
  spokenProtocol,
  WIRE_PROTOCOL_VERSION,
} from "../../protocol/versions.ts";
import { problem } from "./problem.ts";

/** What the edge tells bridges of itself. */
export const EDGE_VERSIONS = { [EDGE_HEADER]: PACKAGE_VERSION, [PROTOCOL_HEADER]: WIRE_PROTOCOL_VERSION } as const;

/** An isolate logs a refusal at most once in this time. */
const LOG_INTERVAL_MS = 60_000;

let loggedMs = Number.NEGATIVE_INFINITY;

/** The 400 for a bridge that speaks a wire protocol that this edge does not; undefined for one that fits. */
export function refuseProtocol(c: Context): Response | undefined {
  const bridge = spokenProtocol(c.req.header(PROTOCOL_HEADER));
  const part = partToUpgrade({ bridge, edge: WIRE_PROTOCOL_VERSION });
  if (part === undefined) return undefined;
  const detail = `the bridge speaks ${bridge}, this edge ${WIRE_PROTOCOL_VERSION}: upgrade the ${part}`;
  const nowMs = Date.now();
  if (nowMs - loggedMs >= LOG_INTERVAL_MS) {
    loggedMs = nowMs;
    // biome-ignore lint/suspicious/noConsole: a Worker's log is its console
    console.warn(`a bridge was refused, wire protocol: ${detail}`);
  }
  for (const [name, value] of Object.entries(EDGE_VERSIONS)) c.header(name, value);
  return problem(c, "invalid", `${PROTOCOL_HEADER}: ${detail}`);
}
