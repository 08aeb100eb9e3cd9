import { expect, test } from "vitest";
import { type WorkerdConfigParts, workerdConfig } from "../../edge/workerd-config.ts";

const PARTS: WorkerdConfigParts = {
  build: {
    directory: "/build",
    bindings: {
      compatibilityDate: "2026-11-01",
      compatibilityFlags: [],
      variables: {},
      durableObjects: [{ name: "ROOMS", className: "ChatRoom" }],
      rateLimits: [{ name: "LIMIT", limit: 20, periodSeconds: 60 }],
      database: "DB",
      passwordHasher: "HASHER",
      assets: "ASSETS",
      migrations: [{ name: "1.sql", sql: 'SELECT "a\\b"\n' }],
    },
  },
  config: { host: "::1", port: 8787, tls: undefined, trustedCertificates: [] },
  environment: ["API_KEYS"],
  hostAddress: "unix:/run/host.sock",
  authorization: "Bearer x",
  controlAddress: "unix:/run/control.sock",
  stateDirectory: "/state",
};

test("workerd takes variables from its environment, so that its configuration holds none of their values", () => {
  expect(workerdConfig(PARTS)).toContain('(name = "API_KEYS", fromEnvironment = "API_KEYS")');
});

test("objects and accounts have the keys and folders that an earlier npm start gave them", () => {
  const text = workerdConfig(PARTS);
  expect(text).toContain('(className = "ChatRoom", uniqueKey = "artoria-ChatRoom", enableSql = true)');
  expect(text).toContain('(name = "objects", disk = (path = "/state/do", writable = true))');
  expect(text).toContain('uniqueKey = "miniflare-D1DatabaseObject"');
});

test("an edge with a primary has no objects, no accounts and no hasher", () => {
  const text = workerdConfig({ ...PARTS, stateDirectory: undefined });
  for (const absent of ["durableObject", '"DB"', '"HASHER"', "writable = true"]) expect(text).not.toContain(absent);
});

test("headers that only Cloudflare may send are removed, over TLS too", () => {
  const tls = { cert: "the cert\n", key: "the key\n" };
  for (const config of [PARTS.config, { ...PARTS.config, tls }]) {
    const [, removed = ""] =
      /injectRequestHeaders = \[(\(name = "CF-[^\]]+)\]/.exec(workerdConfig({ ...PARTS, config })) ?? [];
    expect([...removed.matchAll(/\(name = "([\w-]+)"\)/g)].map(([, name]) => name)).toEqual([
      ...["CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Pseudo-IPv4", "True-Client-IP", "CF-IPCountry", "CF-Ray"],
      ...["CF-Visitor", "CF-Worker", "CF-EW-Via", "CF-Connecting-O2O"],
    ]);
  }
  expect(workerdConfig({ ...PARTS, config: { ...PARTS.config, tls } })).toContain(
    'keypair = (privateKey = "the key\\x0a", certificateChain = "the cert\\x0a")',
  );
});

test("quotes, backslashes and control characters in a value end no literal", () => {
  const text = workerdConfig(PARTS);
  expect(text).toContain(String.raw`\"sql\":\"SELECT \\\"a\\\\b\\\"\\n\"`);
  expect(workerdConfig({ ...PARTS, stateDirectory: 'a"\\\u0000\u0085é' })).toContain(
    String.raw`path = "a\"\\\x00\xc2\x85é/do"`,
  );
});

test("an IPv6 address stands in brackets", () => {
  expect(workerdConfig(PARTS)).toContain('address = "[::1]:8787"');
});
