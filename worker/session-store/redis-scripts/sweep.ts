import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_INDEX } from "./lua-index.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Trims a bounded number of expired members from each index; returns 1 if there may be more, else 0. Records and users' sets
 * need no sweep, for Redis expires them.
 */
export const SWEEP: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1] -- x
  local USERS    = KEYS[2] -- U
${LUA_CLOCK}${LUA_INDEX}
  for _ = 1, 10 do
    if trimIndices() < MAX_TRIMMED then return 0 end
  end
  return 1
`,
};
