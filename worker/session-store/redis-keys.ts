/**
 * The layout in Redis (docs/architecture.md, "Redis layout"):
 *
 * ```
 * s:<sessid>   string, the session's record (redis-scripts/lua-record.ts)   expires with the session
 * u:<user>     ZSET sessid -> expires, the user's sessions                   expires with its last member
 * x            ZSET sessid -> expires, all sessions                          expires with its last member
 * U            ZSET user -> expires of the user's last session               expires with its last member
 * ```
 *
 * All times are epoch ms by Redis's own clock, so that a check and a count always agree.
 */
export const SESSIONS_KEY = "x";
export const USERS_KEY = "U";

/** An anonymous session has no user's set; its scripts get this in its place and leave it alone. */
export const NO_USER_KEY = "u:";

export function sessionKey(sessid: number): string {
  return `s:${sessid}`;
}

export function userKey(user: string | null): string {
  return user === null ? NO_USER_KEY : `u:${user}`;
}
