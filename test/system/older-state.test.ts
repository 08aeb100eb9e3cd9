import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildEdge } from "../../dev/build-edge.ts";
import { parseEdgeConfig } from "../../edge/config.ts";
import { startEdge } from "../../edge/edge.ts";
import type { EdgeBuild } from "../../edge/edge-build.ts";

const KEY = "key-for-the-test-of-an-older-state-directory";
const AS_SERVICE = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };

let directory: string;
let build: EdgeBuild;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "artoria-older-state-"));
  build = await buildEdge(join(directory, "build"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test("a STATE_DIR of v0.1.0, which ran the worker in Miniflare, goes on: its sessions, rooms and accounts", async () => {
  const stateDir = join(directory, "state");
  const older = await startOlder(stateDir);
  const created = await older.dispatchFetch("http://127.0.0.1/v1/sessions", asPost({ user: "lee" }));
  const { token } = (await created.json()) as { token: string };
  await older.dispatchFetch("http://127.0.0.1/v1/rooms/lobby/messages", asPost({ text: "hello" }));
  const room = await (await older.dispatchFetch("http://127.0.0.1/v1/rooms/lobby", { headers: AS_SERVICE })).json();
  await older.dispose();

  const environment = {
    API_KEYS: KEY,
    SESSION_STORE: "embedded",
    STATE_DIR: stateDir,
    EDGE_PORT: "0",
    EDGE_DRAIN_MS: "0",
  };
  const config = parseEdgeConfig(environment, build.bindings.variables);
  const edge = await startEdge(build, config, { print: () => undefined });
  try {
    const check = await fetch(`${edge.url}/v1/check`, { headers: { Authorization: `Bearer ${token}` } });
    expect([check.status, check.headers.get("X-Session-User")]).toEqual([200, "lee"]);
    expect(await (await fetch(`${edge.url}/v1/rooms/lobby`, { headers: AS_SERVICE })).json()).toEqual(room);
    expect(room).toMatchObject({ offset: 1 });
    const { accounts } = (await (await fetch(`${edge.url}/v1/accounts`, { headers: AS_SERVICE })).json()) as {
      accounts: unknown[];
    };
    expect(accounts).toMatchObject([{ name: "kim", createdAt: 5, grants: ["room:a"] }]);
  } finally {
    await edge.close();
  }
});

function asPost(body: unknown) {
  return { method: "POST", headers: AS_SERVICE, body: JSON.stringify(body) };
}

/** The worker in Miniflare, as v0.1.0 started it, with an account whose migrations `npm start` had applied. */
async function startOlder(stateDir: string): Promise<Miniflare> {
  const { compatibilityDate, compatibilityFlags, durableObjects, migrations } = build.bindings;
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      name: "artoria",
      modules: [
        { type: "ESModule", path: "index.js", contents: await readFile(join(build.directory, "index.js"), "utf8") },
      ],
      compatibilityDate,
      compatibilityFlags: [...compatibilityFlags],
      durableObjects: Object.fromEntries(
        durableObjects.map(({ name, className }) => [name, { className, useSQLite: true }]),
      ),
      // wrangler.toml's database_id for development.
      d1Databases: { DB: "00000000-0000-0000-0000-000000000000" },
      bindings: { API_KEYS: KEY, SESSION_STORE: "embedded" },
      cf: false,
      telemetry: { enabled: false },
      resourcePersistencePath: stateDir,
    }),
  );
  const database = await miniflare.getD1Database("DB");
  const statements = migrations.flatMap(({ sql }) => sql.replace(/^\s*--.*$/gm, "").split(";"));
  await database.batch([
    database.prepare(
      "CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)",
    ),
    ...statements.filter((statement) => statement.trim() !== "").map((statement) => database.prepare(statement)),
    ...migrations.map(({ name }) => database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name)),
    database
      .prepare("INSERT INTO accounts (name, password_hash, created_at, grants) VALUES ('kim', 'x', 5, ?)")
      .bind('["room:a"]'),
  ]);
  return miniflare;
}
