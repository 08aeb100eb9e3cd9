import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "artoria-self-hosting-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** The commands of the page, one after the other, as somebody types them who answers what they ask. */
async function commandsOf(page: string): Promise<string> {
  const text = await readFile(new URL(`../../${page}`, import.meta.url), "utf8");
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, code = ""]) => code);
  return (
    blocks
      .join("\n")
      // It would replace the modules that this test runs on.
      .replace("npm ci && ", "")
      // What it shows is known when the edges' readiness passes HAProxy, for which somebody waits here.
      .replace(
        /^echo "show stat".*$/m,
        'until curl -fs --cacert "$A/tls/ca.crt" https://localhost:8443/readyz; do sleep 0.2; done; sleep 3',
      )
      .replace("accounts create lee", "accounts create lee <<< 'a fine pass phrase 7'")
      .replace("npm run -s artoria -- chat", "(sleep 4; echo hello; sleep 2; echo /quit) | npm run -s artoria -- chat")
  );
}

test("docs/self-hosting.md can be followed from top to bottom, updates included", { timeout: 180_000 }, async () => {
  const commands = await commandsOf("docs/self-hosting.md");
  const end = 'echo updated; kill $(cat "$A"/*.pid); wait; redis-cli shutdown nosave';
  const script = `ip link set lo up\n${commands}\n${end}`;
  // In networks and processes of its own: the page's ports are free, and nothing outlives it.
  const { stdout: seen } = await promisify(execFile)("unshare", ["-rnpf", "--kill-child", "bash", "-c", script], {
    env: { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, HOME: home },
    timeout: 170_000,
  });
  expect(seen).toMatch(/^sessid -?\d+\ntoken \S+$/m);
  expect(seen).toContain("lee  enabled");
  expect(seen).toContain("ana: hello");
  const statuses = [...seen.matchAll(/^HTTP\/\S+ (\d+)/gm)].map(([, status]) => status);
  expect(statuses).toEqual(["200", "200", "204", "401"]);
  expect(seen).toContain("updated");
});
