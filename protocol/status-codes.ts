/**
 * The verdict of a response, an i8 on the wire (docs/wire-protocol.md, "Service packets"). A new code takes the next value here and
 * a row in that table. The codes that end a player's connection are in closed-codes.ts.
 */
export const Status = {
  /** The session exists, or the request was done. */
  Ok: 0,
  /** There is no such session: it never existed, has expired or was deleted. */
  NotFound: 1,
  /** The session exists, but not for this resource or this user. */
  Denied: 2,
  /** The sessid belongs to another user. Nothing was changed. */
  Conflict: 3,
  /** The packet or a field is malformed. Nothing was changed. */
  Invalid: 4,
  /** The store did not respond in time. A read changed nothing; a write other than an Issue may be repeated safely. */
  Unavailable: 5,
  /** A limit was reached: the sessions of this user, or the failures of this caller. */
  TooMany: 6,
} as const;

export type Status = (typeof Status)[keyof typeof Status];
export type StatusName = keyof typeof Status;

const NAMES = Object.keys(Status) as StatusName[];

/** The status of a wire value, undefined if this version does not know the value. */
export function statusOf(value: number): Status | undefined {
  return value >= 0 && value < NAMES.length ? (value as Status) : undefined;
}

/** The name of a status as in docs and metrics: "Ok", "NotFound", ... */
export function statusName(status: Status): StatusName {
  return NAMES[status] ?? "Invalid";
}
