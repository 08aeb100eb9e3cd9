/** The verdict of a request, an i8 on the wire (docs/wire-protocol.md, "Service packets"). */
export const Status = {
  /** Granted, done. */
  Ok: 0,
  /** No such session: never was, expired or deleted. */
  NotFound: 1,
  /** The session exists, but not for this resource or this user. */
  Denied: 2,
  /** The sessid belongs to another user; nothing changed. */
  Conflict: 3,
  /** A malformed packet or field; nothing changed. */
  Invalid: 4,
  /** The store could not be asked in time; a read changed nothing, a write may be repeated safely. */
  Unavailable: 5,
  /** A limit was reached: sessions of this user, or failures of this caller. */
  TooMany: 6,
} as const;

export type Status = (typeof Status)[keyof typeof Status];
export type StatusName = keyof typeof Status;

const NAMES = Object.keys(Status) as StatusName[];

/** The status of a wire value, or undefined for a value that the contract does not know. */
export function statusOf(value: number): Status | undefined {
  return value >= 0 && value < NAMES.length ? (value as Status) : undefined;
}

/** The name of a status, as docs and metrics write it: "Ok", "NotFound", ... */
export function statusName(status: Status): StatusName {
  return NAMES[status] ?? "Invalid";
}
