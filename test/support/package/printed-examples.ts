import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** A block of TypeScript as a page prints it. */
export interface PrintedExample {
  /** The page and the heading above the block: "README.md, From TypeScript". */
  readonly name: string;
  readonly code: string;
}

/** The blocks of TypeScript in README.md, client/README.md and docs/ that are for users of the package. */
export async function printedExamples(): Promise<PrintedExample[]> {
  const docs = (await readdir(`${ROOT}/docs`)).filter((file) => file.endsWith(".md")).map((file) => `docs/${file}`);
  const pages = await Promise.all(
    ["README.md", "client/README.md", ...docs].map(async (page) =>
      blocksOf(page, await readFile(`${ROOT}/${page}`, "utf8")),
    ),
  );
  return pages.flat();
}

function blocksOf(page: string, text: string): PrintedExample[] {
  let heading = "";
  return [
    ...text.matchAll(/^#+ (?<heading>.+)$|^```(?:ts|typescript|js|javascript)\n(?<code>[\s\S]*?)^```$/gm),
  ].flatMap(({ groups }) => {
    if (groups?.["heading"] !== undefined) heading = groups["heading"];
    const code = groups?.["code"];
    return code === undefined ? [] : [{ name: `${page}, ${heading}`, code }];
  });
}
