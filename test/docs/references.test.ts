import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { anchorOf, findBrokenReferences } from "./references.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NOT_SEARCHED = /(?:^|\/)(?:node_modules|\.git|\.wrangler|\.cache|dist|coverage)$|^bench\/results$/;
/** Pictures, versions, and this file, whose examples lead nowhere. */
const WITHOUT_REFERENCES = /\.png$|package-lock\.json$|^test\/docs\/references\.test\.ts$/;

describe("the tree", () => {
  test("refers to no file and no heading that is gone", async () => {
    const broken = findBrokenReferences(new Map(await readFolder("")));
    expect(broken.map(({ file, line, reference }) => `${file}:${line} ${reference}`)).toEqual([]);
  });
});

describe("findBrokenReferences", () => {
  const PAGE = ["docs/rooms.md", "# Rooms\n\n## The log\n\n## `accounts` and *more*: 2\n\n## The log\n"] as const;
  const CODE = ["worker/rooms/room.ts", "export {};\n"] as const;
  const PACKAGE = ["package.json", '{ "scripts": { "bench": "vitest bench" } }'] as const;

  test.each([
    ["a link to a page", "[rooms](rooms.md)"],
    ["a link to a heading", "[log](rooms.md#the-log)"],
    ["a link to a heading of the same text as one before it", "[log](rooms.md#the-log-1)"],
    ["a link to a heading with code and punctuation", "[more](rooms.md#accounts-and-more-2)"],
    ["a link to a heading of the same page", "[here](#page)"],
    ["a link to another site", "[site](https://example.com/gone.md#gone)"],
    ["a link in a fence", "```\n[not a link](gone)\n```"],
    ["a folder", "`worker/rooms/`"],
    ["a path from the root", "`worker/rooms/room.ts`"],
    ["the end of a path", "rooms/room.ts and room.ts"],
    ["a heading named after its page", 'docs/rooms.md, "The log"; [rooms.md](rooms.md), "The log"'],
    ["a heading over two lines", 'docs/rooms.md, "The\nlog"'],
    ["a heading of the same page", '(above, "Page")'],
    ["what the bench writes", "bench/results/latest.json"],
    ["a script of package.json", "npm run --silent bench -- --json"],
  ])("follows %s", (_, text) => {
    expect(broken(["docs/page.md", `# Page\n\n${text}\n`])).toEqual([]);
  });

  test.each([
    ["a link to a page", "[rooms](../rooms.md)", "../rooms.md"],
    ["a link to a heading", "[log](rooms.md#log)", "rooms.md#log"],
    ["a link to a heading of the same page", "[here](#there)", "#there"],
    ["a script of package.json", "npm run -s benches", "npm run -s benches"],
    ["a picture", '<img alt="" src="chart.svg">', "chart.svg"],
    ["a path from the root", "worker/room.ts", "worker/room.ts"],
    ["a folder", "`worker/routes/`", "worker/routes/"],
    ["a name of a file", "room-log.ts", "room-log.ts"],
    ["a heading named after its page", 'docs/rooms.md, "Log"', 'docs/rooms.md, "Log"'],
    ["a heading without quotation marks", "docs/rooms.md, Log", 'docs/rooms.md, "Log"'],
    ["a heading of the same page", '(below, "The log")', "The log"],
  ])("finds %s that is gone", (_, text, reference) => {
    expect(broken(["docs/page.md", `# Page\n\n${text}\n`]).map((found) => found.reference)).toContain(reference);
  });

  test("finds what comments name, with the line, and leaves names in strings alone", () => {
    const text =
      '/**\n * The log (docs/rooms.md,\n * "Log"), as old-room.ts had it.\n */\nconst name = "temporary.ts";\n';
    expect(broken(["worker/log.ts", text])).toEqual([
      { file: "worker/log.ts", line: 3, reference: "old-room.ts" },
      { file: "worker/log.ts", line: 2, reference: 'docs/rooms.md, "Log"' },
    ]);
  });

  test("finds a path from the root in a string of code", () => {
    expect(broken(["worker/log.ts", 'run("worker/gone.ts");'])).toMatchObject([{ reference: "worker/gone.ts" }]);
  });

  test("follows what a file imports from a folder beside it that has the name of one of the root", () => {
    const imports = (name: string) =>
      findBrokenReferences(
        new Map([
          CODE,
          PACKAGE,
          ["tcp-bridge/worker/batch.ts", ""],
          ["tcp-bridge/bridge.ts", `import { Batch } from "./worker/${name}.ts";\n`],
        ]),
      );
    expect(imports("batch")).toEqual([]);
    expect(imports("gone")).toMatchObject([{ reference: "worker/gone.ts" }]);
  });

  function broken(file: readonly [string, string]) {
    return findBrokenReferences(new Map([PAGE, CODE, PACKAGE, file]));
  }
});

describe("anchorOf", () => {
  test.each([
    ["`GET /v1/check` with a cookie", "get-v1check-with-a-cookie"],
    ["OWASP ASVS 5.0, chapter V7", "owasp-asvs-50-chapter-v7"],
    ["What [rooms](rooms.md) don't do", "what-rooms-dont-do"],
  ])("gives %s the anchor that GitHub gives it", (heading, anchor) => {
    expect(anchorOf(heading)).toBe(anchor);
  });
});

async function readFolder(folder: string): Promise<[path: string, text: string][]> {
  const entries = await readdir(ROOT + folder, { withFileTypes: true });
  const files = entries.map(async (entry): Promise<[string, string][]> => {
    const path = folder + entry.name;
    if (entry.isDirectory()) return NOT_SEARCHED.test(path) ? [] : readFolder(`${path}/`);
    return [[path, WITHOUT_REFERENCES.test(path) ? "" : await readFile(ROOT + path, "utf8")]];
  });
  return (await Promise.all(files)).flat();
}
