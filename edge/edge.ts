import type { EdgeConfig } from "./config.ts";
import type { EdgeBuild } from "./edge-build.ts";

/** A running edge. */
export interface Edge {
  /** Without a slash at its end. */
  readonly url: string;
  /** The process that serves it. */
  readonly workerdPid: number;
  /** Resolves with the reason if workerd ends without {@link close}. */
  readonly ended: Promise<Error>;
  /** Says on `/readyz` that it drains, answers what is in flight, closes WebSockets, ends workerd: within 10 s. */
  close(): Promise<void>;
}

/** How to start an edge. */
export interface EdgeOptions {
  /** Until it resolves, requests wait and get no response; undefined: they never wait. */
  readonly opened?: Promise<void> | undefined;
}

/**
 * Runs a build of the worker in workerd, and what workerd must not or cannot do itself: passwords are hashed here, and the sweep of
 * the session store is rung from here.
 *
 * @throws Error one line for the operator: the port is taken, another edge uses the state, workerd does not start
 */
export function startEdge(_build: EdgeBuild, _config: EdgeConfig, _options: EdgeOptions = {}): Promise<Edge> {
  return Promise.reject(new Error("not yet"));
}
