import * as esbuild from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, it } from "vitest";

let miniflare: Miniflare;

/** The worker that hashes for the deployed one, in workerd; one hash at a time and one that waits. */
beforeAll(async () => {
  const built = await esbuild.build({
    entryPoints: ["worker/password-hasher/index.ts"],
    bundle: true,
    format: "esm",
    external: ["cloudflare:*", "node:*"],
    write: false,
  });
  const options = convertV4MiniflareOptions({
    name: "artoria-password-hasher",
    modules: [{ type: "ESModule", path: "index.js", contents: built.outputFiles[0]?.text ?? "" }],
    compatibilityDate: "2026-11-01",
    compatibilityFlags: ["nodejs_compat"],
    durableObjects: { HASHERS: { className: "PasswordHasher", useSQLite: true } },
    bindings: { PASSWORD_HASHES_AT_ONCE: 1, PASSWORD_QUEUE: 1 },
    cf: false,
  });
  miniflare = new Miniflare(options);
  await miniflare.ready;
});
afterAll(() => miniflare?.dispose());

async function ask(request: object): Promise<{ status: number; retryAfter: string | null; body: unknown }> {
  const response = await miniflare.dispatchFetch("https://password-hasher.invalid/", {
    method: "POST",
    body: JSON.stringify({ from: "203.0.113.1", ...request }),
  });
  const text = await response.text();
  return {
    status: response.status,
    retryAfter: response.headers.get("Retry-After"),
    body: text === "" ? undefined : JSON.parse(text),
  };
}

it("the deployed hasher makes a hash, and compares with it", async () => {
  const { body } = await ask({ kind: "choose", password: "correct horse battery" });
  const { hash } = body as { hash: string };
  const right = await ask({ kind: "verify", password: "correct horse battery", phc: hash, urgent: false });
  const wrong = await ask({ kind: "verify", password: "correct horse batter", phc: hash, urgent: false });
  expect(right.body).toEqual({ kind: "verified", matches: true, outdated: false });
  expect(wrong.body).toEqual({ kind: "verified", matches: false, outdated: false });
});

it("the deployed hasher makes no hash of a password that everybody uses", async () => {
  expect((await ask({ kind: "choose", password: "Iloveyou" })).body).toEqual({ kind: "common" });
});

it("the deployed hasher refuses what comes beyond its queue, and takes the next one after it", async () => {
  const request = { kind: "verify", password: "x", phc: null, urgent: false };
  const responses = await Promise.all(Array.from({ length: 10 }, () => ask(request)));
  const busy = responses.filter(({ status }) => status === 503);
  expect(busy.length).toBeGreaterThan(0);
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200, 503]));
  expect(new Set(busy.map(({ retryAfter }) => retryAfter))).toEqual(new Set(["5"]));
  expect((await ask(request)).status).toBe(200);
});
