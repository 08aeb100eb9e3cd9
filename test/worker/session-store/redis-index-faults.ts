import type { RedisHarness } from "./redis-harness.ts";

/**
 * Where the indices of a Redis without expired sessions differ from what its records say (worker/session-store/redis-keys.ts).
 */
export async function redisIndexFaults(harness: Pick<RedisHarness, "command">): Promise<string[]> {
  const keys = await harness.command<string[]>("KEYS", "*");
  const sessions = new Map<string, string>();
  const users = new Map<string, Map<string, string>>();
  for (const key of keys.filter((name) => name.startsWith("s:"))) {
    const record = JSON.parse(await harness.command<string>("GET", key)) as { e: number; u?: string };
    const sessid = key.slice(2);
    sessions.set(sessid, String(record.e));
    if (record.u === undefined) continue;
    const own = users.get(record.u) ?? new Map<string, string>();
    users.set(record.u, own.set(sessid, String(record.e)));
  }
  const last = (own: ReadonlyMap<string, string>) => String(Math.max(...[...own.values()].map(Number)));
  const expected = new Map<string, ReadonlyMap<string, string>>([
    ...[...users].map(([user, own]) => [`u:${user}`, own] as const),
    ["x", sessions],
    ["U", new Map([...users].map(([user, own]) => [user, last(own)]))],
  ]);

  const faults: string[] = [];
  for (const [index, members] of expected) {
    const found = await membersOf(harness, index);
    if (asText(found) !== asText(members)) faults.push(`${index}: ${asText(found)}, expected ${asText(members)}`);
    const expiry = await harness.command<number>("PEXPIRETIME", index);
    if (members.size > 0 && expiry < Number(last(members))) faults.push(`${index} expires before its last member`);
  }
  const unexpected = keys.filter((key) => !key.startsWith("s:") && !expected.has(key));
  return [...faults, ...unexpected.map((key) => `${key}: not expected`)];
}

async function membersOf(harness: Pick<RedisHarness, "command">, index: string): Promise<Map<string, string>> {
  const pairs = await harness.command<[string, number][]>("ZRANGE", index, "0", "-1", "WITHSCORES");
  return new Map(pairs.map(([member, score]) => [member, String(score)]));
}

function asText(members: ReadonlyMap<string, string>): string {
  return JSON.stringify([...members].sort());
}
