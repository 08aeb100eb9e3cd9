import type { Session } from "../../../protocol/session-request.ts";
import type { EndReason } from "../../../protocol/watch-packets.ts";

/** What came of a request. */
export type Answer<T> =
  | { readonly kind: "ok"; readonly value: T }
  | { readonly kind: "notFound" }
  /** `text` says why, for the operator. */
  | { readonly kind: "failed"; readonly text: string };

/** Why the console is closed to this browser: the session ended, or it has the grant no more. */
export type Closed = "loggedOut" | "denied";

/** No request takes longer: the store is given a second, and the leases that a delete waits for run for a bound. */
const TIMEOUT_MS = 15_000;

/** An event of the session log, as the edge sends it. */
export interface LogEvent {
  readonly position: string;
  /** Epoch ms, by the store's clock. */
  readonly at: number;
  readonly kind: "began" | "changed" | "ended";
  readonly reason: EndReason | null;
  readonly sessid: number;
  readonly user: string | null;
}

export interface Count {
  /** The edge's clock, epoch ms. */
  readonly at: number;
  readonly sessions: number;
  readonly users: number;
}

/** The newest sessions of a user, and how many there are. */
export interface UserSessions {
  readonly total: number;
  readonly sessions: readonly Session[];
}

/** How far an end reached; null: the hub could not read the log. */
export interface Reach {
  /** Those that could answer checks from memory. */
  readonly bridges: number;
  readonly acknowledged: number;
  /** In the log. */
  readonly position: string;
}

export interface Ended {
  readonly ended: number;
  readonly reach: Reach | null;
}

/** The versions of the edge. One before 0.2.0 does not tell them: the page may be newer than the edge for a moment. */
export interface EdgeView {
  readonly version: string;
  readonly protocol: string;
}

/** A bridge that is connected to the hub, or that it has refused. Null is what it does not say: it holds no lease, or is of an older version. */
export interface BridgeView {
  readonly version: string | null;
  readonly address: string | null;
  /** Sessions in its memory. */
  readonly kept: number | null;
  /** Checks since its start, and those of them that it answered from memory. */
  readonly answered: number | null;
  readonly fromMemory: number | null;
  /** Since its lease was last renewed. */
  readonly leaseAgeMs: number | null;
  /** Null: it was refused. */
  readonly connectedMs: number | null;
  /** The wire protocol that does not fit the edge's; null: it is connected. */
  readonly refusedProtocol?: string | null;
}

export interface WebhookView {
  readonly state: "off" | "on" | "disabled";
  /** Messages that failed and are tried again. */
  readonly held: number;
  /** Whether there are ends in the log that were not yet sent. */
  readonly behind: boolean;
  /** Epoch ms of the oldest end that was not delivered. */
  readonly oldestAt: number | null;
  readonly lastError: string | null;
}

export interface RoomView {
  /** 0: nothing of the room is kept. */
  readonly epoch: number;
  /** The highest offset of its log. */
  readonly offset: number;
  readonly members: readonly { readonly member: number; readonly user: string; readonly connected: boolean }[];
}

/** The JSON routes below `/console`, by the browser's cookie. */
export class ConsoleServer {
  readonly #onClosed: (why: Closed) => void;

  constructor(onClosed: (why: Closed) => void) {
    this.#onClosed = onClosed;
  }

  count(): Promise<Answer<Count>> {
    return this.#ask("GET", "/count");
  }

  user(user: string): Promise<Answer<UserSessions>> {
    return this.#ask("GET", `/user?${new URLSearchParams({ user })}`);
  }

  session(sessid: string): Promise<Answer<Session>> {
    return this.#ask("GET", `/session?${new URLSearchParams({ sessid })}`);
  }

  endUser(user: string): Promise<Answer<Ended>> {
    return this.#ask("DELETE", `/user?${new URLSearchParams({ user })}`);
  }

  endSession({ sessid, user }: Session): Promise<Answer<Ended>> {
    const query = new URLSearchParams({ sessid: String(sessid), ...(user !== null && { user }) });
    return this.#ask("DELETE", `/session?${query}`);
  }

  bridges(): Promise<
    Answer<{ readonly edge?: EdgeView; readonly bridges: readonly BridgeView[]; readonly webhook: WebhookView }>
  > {
    return this.#ask("GET", "/bridges");
  }

  room(room: string): Promise<Answer<RoomView>> {
    return this.#ask("GET", `/rooms/${encodeURIComponent(room)}`);
  }

  say(room: string, text: string): Promise<Answer<{ readonly offset: number }>> {
    return this.#ask("POST", `/rooms/${encodeURIComponent(room)}/messages`, { text });
  }

  removeMember(room: string, member: number): Promise<Answer<undefined>> {
    return this.#ask("DELETE", `/rooms/${encodeURIComponent(room)}/members/${member}`);
  }

  async #ask<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    try {
      const response = await fetch(`/console${path}`, {
        method,
        headers: { Accept: "application/json", ...(body !== undefined && { "Content-Type": "application/json" }) },
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      if (response.ok) return { kind: "ok", value: (response.status === 204 ? undefined : await response.json()) as T };
      if (response.status === 404) return { kind: "notFound" };
      const { title = "", detail = title } = (await response.json()) as { title?: string; detail?: string };
      if (response.status === 401) this.#onClosed("loggedOut");
      if (response.status === 403 && method === "GET") this.#onClosed("denied");
      return { kind: "failed", text: detail };
    } catch {
      return { kind: "failed", text: "The edge did not answer." };
    }
  }
}
