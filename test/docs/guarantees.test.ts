import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

const PAGE = read("docs/events.md");
const TESTS = ["test/worker/events/guarantees.test.ts", "test/system/event-guarantees.test.ts"].map(read).join("\n");

/** The names of `describe` and `test` that stand in quotes at the end of a row of a table. */
const named = [...PAGE.matchAll(/^\|.*\| "([^"|]+)" \|$/gm)].map(([, name = ""]) => name);

test("docs/events.md names a test for each guarantee and for each fault", () => {
  const rows = [...PAGE.matchAll(/^\| (?:\*\*|the |it |a )/gm)].length;
  expect(named.length).toBeGreaterThanOrEqual(13);
  expect(named.length).toBe(rows);
});

test.each(named)("a test is named: %s", (name) => {
  const texts: readonly string[] = TESTS.match(/"[^"\n]+"/g) ?? [];
  expect(texts.some((text) => text.includes(name))).toBe(true);
});
