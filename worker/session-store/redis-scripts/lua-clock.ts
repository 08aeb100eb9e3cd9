/**
 * Lua: `now`, epoch ms by Redis's clock, read once per script. A session is live while its expiry is above it: Redis
 * itself would keep a key through the millisecond of its expiry, so scripts compare.
 */
export const LUA_CLOCK = `
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
`;
