import { afterAll, beforeAll, expect, test } from "vitest";
import type { RedisRest } from "../../../redis-rest/server.ts";
import { restPost, startTestRedisRest } from "../../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../../support/redis/redis-server.ts";

let server: RedisServer;
let rest: RedisRest;

beforeAll(async () => {
  server = await startRedisServer({ args: ["--enable-debug-command", "yes"] });
  rest = await startTestRedisRest({ REDIS_URL: server.url });
  await restPost(rest, "/", ["XGROUP", "CREATE", "stream", "group", "0", "MKSTREAM"]);
});
afterAll(async () => {
  await rest?.close();
  await server?.stop();
});

const refused = [
  ...["BLPOP k 0", "BRPOP k 0", "BRPOPLPUSH a b 0", "BLMOVE a b LEFT LEFT 0", "BLMPOP 0 1 k LEFT", "BZPOPMIN k 0"],
  ...["BZPOPMAX k 0", "BZMPOP 0 1 k MIN", "WAIT 1 0", "WAITAOF 1 0 0"],
  ...["XREAD BLOCK 0 STREAMS stream $", "XREAD COUNT 1 block 0 STREAMS stream $"],
  ...[
    "XREADGROUP GROUP group me BLOCK 0 STREAMS stream >",
    "XREADGROUP NOACK GROUP group STREAMS BLOCK 0 STREAMS stream >",
  ],
  ...["SUBSCRIBE c", "PSUBSCRIBE c", "SSUBSCRIBE c", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR", "SYNC"],
  ...["PSYNC ? -1", "SELECT 1", "AUTH x", "HELLO 3", "RESET", "QUIT", "CLIENT REPLY OFF", "CLIENT KILL TYPE normal"],
  ...["READONLY", "READWRITE", "ASKING", "MULTI", "EXEC", "DISCARD", "WATCH k", "UNWATCH", "SCRIPT DEBUG YES"],
  ...["SWAPDB 0 1", "MOVE k 1", "COPY a b DB 1", "COPY a b REPLACE db 1", "FLUSHALL", "MIGRATE h 1 k 0 1"],
  ...["SHUTDOWN NOSAVE", "DEBUG SLEEP 0", "CONFIG GET *", "REPLICAOF NO ONE", "SLAVEOF NO ONE", "FAILOVER"],
  ...["MODULE LIST", "ACL WHOAMI", "SAVE", "BGSAVE", "BGREWRITEAOF", "CLUSTER INFO", "REPLCONF GETACK *"],
  ...["LATENCY RESET", "SLOWLOG RESET", "PFDEBUG ENCODING k", "PFSELFTEST"],
  ...["SCRIPT FLUSH", "SCRIPT FLUSH SYNC", "FUNCTION LOAD REPLACE code", "FUNCTION DELETE l", "FUNCTION FLUSH ASYNC"],
  ...["FUNCTION RESTORE payload FLUSH"],
].map((line) => line.split(" "));

test.each(refused)("%s %s is refused by name", async (...command) => {
  const [name, ...args] = command.filter((word) => word !== undefined);
  const shape = { error: expect.stringMatching(new RegExp(`^ERR Command is not available: '${name}.*': `)) };
  for (const spelled of [name, name?.toLowerCase()]) {
    const response = await restPost(rest, "/", [spelled, ...args]);
    expect([response.status, response.json]).toEqual([400, shape]);
  }
});

test.each([["POST"], ["HOST:"], ["NOSUCH"]])(
  "%s, which is no command of the server's, does not reach it",
  async (name) => {
    const response = await restPost(rest, "/", [name]);
    expect([response.status, response.json]).toEqual([400, { error: `ERR unknown command '${name}'` }]);
  },
);

test("a refused command has an error in its place of a pipeline, and the other commands are executed", async () => {
  const response = await restPost(rest, "/pipeline", [
    ["SET", "k", "v"],
    ["SELECT", "1"],
    ["GET", "k"],
  ]);
  expect(response.status).toBe(200);
  expect(response.json).toEqual([{ result: "OK" }, { error: expect.stringContaining("'SELECT'") }, { result: "v" }]);
});

test("a refused command discards its transaction as a whole", async () => {
  const response = await restPost(rest, "/multi-exec", [["SET", "discarded", "v"], ["EXEC"]]);
  expect([response.status, response.json]).toEqual([400, { error: expect.stringContaining("'EXEC'") }]);
  expect((await restPost(rest, "/", ["EXISTS", "discarded"])).json).toEqual({ result: 0 });
});

test.each([
  [["COPY", "a", "b", "REPLACE"], 0],
  [["XREAD", "COUNT", "1", "STREAMS", "stream", "0"], null],
  [["PUBLISH", "channel", "message"], 0],
  [["SCRIPT", "EXISTS", "0".repeat(40)], [0]],
  [["PING"], "PONG"],
])("%j is served", async (command, result) => {
  expect((await restPost(rest, "/", command)).json).toEqual({ result });
});
