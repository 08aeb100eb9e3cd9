/**
 * Lua: `now`, epoch ms by Redis's clock, read once per script, and `nowText`, the same as text: of 13 digits until the year
 * 2286, so that times compare as texts. A session is live while its expiry is above it: Redis itself would keep a key
 * through the millisecond of its expiry, so scripts compare.
 */
export const LUA_CLOCK = `
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local nowText = string.format('%.0f', now)
`;
