import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { PLACES, packageVersion, withVersion } from "../../dev/raise-version.ts";
import { HTTP_API_VERSION, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";

const read = (file: string): Promise<string> => readFile(new URL(`../../${file}`, import.meta.url), "utf8");

describe("the version", () => {
  it.each(Object.keys(PLACES))("of %s is that of package.json, and is raised with it", async (file) => {
    const text = await read(file);
    expect(PLACES[file]?.exec(text)?.[0]).toBe(await packageVersion());
    const raised = withVersion(file, text, "7.8.9-rc.1");
    expect(PLACES[file]?.exec(raised)?.[0]).toBe("7.8.9-rc.1");
    expect(withVersion(file, raised, await packageVersion())).toBe(text);
  });

  it("of package-lock.json is that of package.json", async () => {
    const version = await packageVersion();
    const lock = JSON.parse(await read("package-lock.json")) as { packages: Record<string, object> };
    expect([lock, lock.packages[""]]).toMatchObject([{ version }, { version }]);
  });

  it("is not raised in a file that has none", () => {
    expect(() => withVersion("client/package.json", "{}", "1.0.0")).toThrow("client/package.json: it has no version");
    expect(() => withVersion("README.md", "", "1.0.0")).toThrow("README.md");
  });
});

describe("CHANGELOG.md", () => {
  /** Keep a Changelog: the newest first, each with its day; then where to see each. */
  const heading = /^## \[(.+)\](?: - (\d{4}-\d{2}-\d{2}))?$/gm;

  it("has this version first, after what is not released, and every version once and in order", async () => {
    const entries = [...(await read("CHANGELOG.md")).matchAll(heading)].map(([, version = "", day]) => ({
      version,
      day,
    }));
    const released = entries.filter(({ version }) => version !== "Unreleased");
    expect(released[0]?.version).toBe(await packageVersion());
    for (const { version, day } of released) expect([version, day]).toEqual([version, expect.any(String)]);
    const numbers = released.map(({ version }) => version.split(".").map(Number));
    expect(numbers.toSorted(compareVersions).reverse()).toEqual(numbers);
    expect(new Set(released.map(({ version }) => version)).size).toBe(released.length);
    expect(entries.findIndex(({ version }) => version === "Unreleased")).toBeLessThanOrEqual(0);
  });

  it("says which wire protocol and API this version has", async () => {
    const [, newest = ""] = (await read("CHANGELOG.md")).split(/^## \[\d.*$/m);
    expect(newest).toContain(`Wire protocol ${WIRE_PROTOCOL_VERSION}, HTTP API ${HTTP_API_VERSION}.`);
  });
});

function compareVersions(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((number, index) => number !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
