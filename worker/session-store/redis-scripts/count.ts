import { LUA_CLOCK } from "./lua-clock.ts";
import type { RedisScript } from "./redis-script.ts";

/** Returns the number of live sessions and of users that have one; O(log n), since a ZSET knows its ranks. */
export const COUNT: RedisScript = {
  readOnly: true,
  source: `
  local SESSIONS = KEYS[1] -- x
  local USERS    = KEYS[2] -- U
${LUA_CLOCK}
  local above = '(' .. nowText
  return { redis.call('ZCOUNT', SESSIONS, above, '+inf'), redis.call('ZCOUNT', USERS, above, '+inf') }
`,
};
