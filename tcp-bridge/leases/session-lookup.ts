import type { Status } from "../../protocol/status-codes.ts";

/** Whose session a token is, and who said so. */
export interface Identity {
  /** Ok, NotFound, Denied (it lacks the grant for the resource), Invalid, or Unavailable (nobody could be asked in time). */
  readonly status: Status;
  /** 0 unless Ok. */
  readonly sessid: number;
  /** Empty unless Ok. */
  readonly user: string;
  /** `lease`: this bridge's memory; `store`: the edge, which asked its store. */
  readonly source: "lease" | "store";
}

/** Answers whose session a token is. */
export interface SessionLookup {
  /**
   * Identifies the session of a token of 20 bytes, and renews its idle lifetime. `resource`: what the session wants to enter, at most
   * MAX_RESOURCE_BYTES; empty: nothing in particular. The result is there at once if this bridge's memory may answer; otherwise it
   * comes with an ordinary batch, within the deadline of the edge. Does not reject.
   */
  identify(token: Uint8Array<ArrayBuffer>, resource: string): Identity | Promise<Identity>;
}
