import { access, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** OWASP ASVS 5.0.0, chapter V7: the number of requirements in each of its sections. */
const REQUIREMENTS_OF_SECTION = [3, 4, 2, 5, 3, 2];

const LINES = REQUIREMENTS_OF_SECTION.flatMap((count, section) =>
  Array.from({ length: count }, (_, index) => `7.${section + 1}.${index + 1}`),
);

interface Row {
  readonly line: string;
  readonly how: string;
  readonly tests: readonly { readonly path: string; readonly name: string }[];
}

/** The rows of docs/security.md's table of chapter V7. */
function readRows(page: string): Row[] {
  return [...page.matchAll(/^\| (7\.\d\.\d+) \|[^|]*\|([^|]*)\|([^|]*)\|$/gm)].map(
    ([, line = "", how = "", tests = ""]) => ({
      line,
      how: how.trim(),
      tests: [...tests.matchAll(/`([^`]+)` "([^"]+)"/g)].map(([, path = "", name = ""]) => ({ path, name })),
    }),
  );
}

const page = await readFile(`${ROOT}docs/security.md`, "utf8");
const rows = readRows(page);

describe("docs/security.md", () => {
  it("answers every line of ASVS chapter V7, once and in order", () => {
    expect(rows.map(({ line }) => line)).toEqual(LINES);
  });

  it.each(rows)("names tests that exist for $line, or says why it does not apply", async ({ how, tests }) => {
    if (tests.length === 0) expect(how).toMatch(/^does not apply: /);
    for (const { path, name } of tests) expect(await readFile(ROOT + path, "utf8")).toContain(name);
  });

  it("names no test file that is gone", async () => {
    const files = [...page.matchAll(/`(test\/[^`]+)`/g)].map(([, path = ""]) => path);
    expect(files.length).toBeGreaterThan(LINES.length);
    for (const path of files) await access(ROOT + path);
  });
});
