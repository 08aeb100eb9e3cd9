import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseEdgeConfig } from "../../edge/config.ts";
import { selfSigned } from "../support/peers/certificates.ts";

const KEY = "a-key-of-32-characters-or-more-01";
const STORE = { UPSTASH_REDIS_REST_URL: "http://127.0.0.1:8079", UPSTASH_REDIS_REST_TOKEN: KEY };
/** What wrangler.toml's production environment says. */
const DEFAULTS = { SESSION_STORE: "redis", SIGNUP: "closed" };
const OWN = { ...STORE, API_KEYS: KEY, STATE_DIR: "/state" };

const parse = (environment: Record<string, string>) => parseEdgeConfig(environment, DEFAULTS);

describe("parseEdgeConfig", () => {
  test("an edge listens on loopback, keeps its state, and has production's defaults under its own variables", () => {
    expect(parse({ ...OWN, SESSION_TTL_SECONDS: "60", PATH: "/bin" })).toEqual({
      host: "127.0.0.1",
      port: 8787,
      tls: undefined,
      peers: undefined,
      state: { kind: "own", directory: "/state" },
      variables: { ...DEFAULTS, ...STORE, API_KEYS: KEY, SESSION_TTL_SECONDS: "60" },
      trustedCertificates: [],
      drainMs: 3000,
    });
    expect(parse({ ...OWN, SIGNUP: "open" }).variables["SIGNUP"]).toBe("open");
  });

  test("one error names all that is missing or wrong, of the program and of the worker", () => {
    expect(() => parse({})).toThrow(/^STATE_DIR: needed .*; UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN: needed/);
    const { UPSTASH_REDIS_REST_TOKEN: _, ...withoutToken } = OWN;
    expect(() => parse({ ...withoutToken, EDGE_TLS_CERT: "/nowhere" })).toThrow(
      /^EDGE_TLS_CERT: .*; UPSTASH_REDIS_REST_TOKEN: needed/,
    );
    expect(() => parse({ ...OWN, EDGE_PORT: "x", TRUSTED_PROXIES: "x", MAX_WAITING_HASHES: "x" })).toThrow(
      /^EDGE_PORT: .*; TRUSTED_PROXIES: /,
    );
  });

  test("an empty variable is an unset one", () => {
    expect(
      parse({ ...OWN, EDGE_PORT: "", EDGE_PRIMARY_URL: "", EDGE_TLS_CERT: "", NODE_EXTRA_CA_CERTS: "" }).port,
    ).toBe(8787);
  });

  test("an edge with a primary has no state", () => {
    const { STATE_DIR, ...others } = OWN;
    const state = { kind: "primary", url: "https://edge.example.com:8443" };
    expect(parse({ ...others, EDGE_PRIMARY_URL: "https://edge.example.com:8443/" }).state).toEqual(state);
    expect(() => parse({ ...OWN, STATE_DIR, EDGE_PRIMARY_URL: "https://edge.example.com" })).toThrow(/^STATE_DIR: /);
  });

  test("beyond loopback it needs a certificate, or proxies, which then are the only ones that it answers", async () => {
    const beyond = { ...OWN, EDGE_HOST: "0.0.0.0" };
    expect(() => parse(beyond)).toThrow(/^EDGE_HOST: beyond loopback EDGE_TLS_CERT and EDGE_TLS_KEY are needed, or/);
    expect(parse({ ...beyond, TRUSTED_PROXIES: "10.0.0.0/8, 192.0.2.1" }).peers).toBe("10.0.0.0/8, 192.0.2.1");
    expect(parse({ ...OWN, TRUSTED_PROXIES: "127.0.0.1" }).peers).toBeUndefined();
    const { cert, key } = await selfSigned("edge");
    const withTls = { ...beyond, EDGE_TLS_CERT: cert, EDGE_TLS_KEY: key };
    expect(parse({ ...withTls, TRUSTED_PROXIES: "192.0.2.1" })).toMatchObject({
      peers: undefined,
      tls: { cert, key: key.trim() },
    });
  });

  test("it reads a certificate from a file, and the authorities that Node trusts too", async () => {
    const folder = await mkdtemp(join(tmpdir(), "artoria-config-"));
    try {
      const [{ cert, key }, other] = await Promise.all([selfSigned("edge"), selfSigned("other")]);
      const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem"), ca: join(folder, "ca.pem") };
      await Promise.all([
        writeFile(files.cert, cert),
        writeFile(files.key, key),
        writeFile(files.ca, `# two of them\n${cert}\n${other.cert}`),
      ]);
      const config = parse({
        ...OWN,
        EDGE_TLS_CERT: files.cert,
        EDGE_TLS_KEY: files.key,
        NODE_EXTRA_CA_CERTS: files.ca,
      });
      expect(config.tls).toEqual({ cert, key });
      expect(config.trustedCertificates).toEqual([cert.trim(), other.cert.trim()]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ["no folder and no primary", { STATE_DIR: "" }, /^STATE_DIR: needed is a folder/],
    ["a primary with a path", { STATE_DIR: "", EDGE_PRIMARY_URL: "https://edge.example.com/x" }, /^EDGE_PRIMARY_URL: /],
    [
      "a primary over plain HTTP",
      { STATE_DIR: "", EDGE_PRIMARY_URL: "http://10.0.0.1" },
      /^EDGE_PRIMARY_URL: allowed is https/,
    ],
    [
      "a primary and the embedded store",
      { STATE_DIR: "", EDGE_PRIMARY_URL: "https://edge.example.com", SESSION_STORE: "embedded" },
      /^EDGE_PRIMARY_URL: needs SESSION_STORE = "redis"/,
    ],
    [
      "half of a certificate",
      { EDGE_TLS_CERT: "-----BEGIN CERTIFICATE-----" },
      /^EDGE_TLS_CERT, EDGE_TLS_KEY: needed are both/,
    ],
    [
      "what is no certificate",
      { EDGE_TLS_CERT: "-----BEGIN CERTIFICATE-----", EDGE_TLS_KEY: "-----BEGIN" },
      /^EDGE_TLS_CERT, EDGE_TLS_KEY: not a certificate and its key/,
    ],
    [
      "a file that is not there",
      { EDGE_TLS_CERT: "/nowhere" },
      /^EDGE_TLS_CERT: allowed is PEM text or the path.*ENOENT$/,
    ],
    ["a port that is none", { EDGE_PORT: "70000" }, /^EDGE_PORT: allowed is a port/],
    ["a drain that is too long", { EDGE_DRAIN_MS: "5001" }, /^EDGE_DRAIN_MS: allowed is a whole number, 0\.\.5000/],
    [
      "a short key, even on loopback",
      { API_KEYS: "dev-key", LOOPBACK_ONLY: "1" },
      /^API_KEYS: of each key allowed are 32/,
    ],
    ["a wrong variable of the worker", { SESSION_TTL_SECONDS: "0" }, /^SESSION_TTL_SECONDS: /],
    ["a wrong variable of the hasher", { PASSWORD_QUEUE: "0" }, /^PASSWORD_QUEUE: /],
    ["no address of the store", { UPSTASH_REDIS_REST_URL: "" }, /^UPSTASH_REDIS_REST_URL: needed/],
  ])("it refuses %s, and prints no value", (_, variables, message) => {
    const given = { ...OWN, ...variables };
    expect(() => parse(given)).toThrow(message);
    expect(() => parse(given)).not.toThrow(KEY);
  });
});
