import { posix } from "node:path";

/** The tree that is searched: the text of each file by its path from the root, `/` between its parts. */
export type Tree = ReadonlyMap<string, string>;

export interface BrokenReference {
  readonly file: string;
  readonly line: number;
  /** What the file refers to, as it is written there. */
  readonly reference: string;
}

/** Made by a build or a run, so never in a fresh clone (.gitignore): results of the bench, and lib/ in the package of the client. */
const GENERATED = /^(?:bench\/results|lib)(?:\/|$)/;

/** In code, only comments are searched for headings and names of files: strings may name temporary files. */
const CODE_FILE = /\.(?:ts|tsx|js|css)$/;
const COMMENT_LINE = /^\s*(?:\/\/|\/\*|\*)|\s\/\/ /;

const LINK = /(?:\]\(|\b(?:src|srcset|href)=")([^)"\s]+)[)"]/g;
const FILE_NAME =
  /(?<![\w/.@*{}<>$%:-])(?:\.{1,2}\/)*((?:[\w.-]+\/)*[\w-][\w.-]*\.(?:tsx|ts|md|toml|css|yaml|cfg))(?![\w/*{}<>-])/g;
/** `docs/rooms.md, "The log"`, `docs/rooms.md, The log` and `[rooms.md](rooms.md), "The log"`. */
const HEADING_OF_PAGE = /([\w/.-]+\.md)`?\)?,\s+(?:"([^"]+)"|([A-Z][\w -]*\w))/g;
const NPM_SCRIPT = /\bnpm run (?:-s |--silent )?([\w:-]+)/g;
const HEADING_OF_THIS_PAGE = /\((?:above|below), "([^"]+)"\)/g;

/**
 * Every reference in a tree that leads nowhere: a Markdown link whose file or heading is gone, a path that begins with a
 * folder of the root, the name of a source file in a comment or a page, a heading that is named after its page, a script of
 * package.json.
 */
export function findBrokenReferences(tree: Tree): BrokenReference[] {
  const index = indexTree(tree);
  return [...tree].flatMap(([file, text]) => {
    const prose = CODE_FILE.test(file) ? commentsOf(text) : text;
    const found = [
      ...brokenPaths(file, text, index),
      ...brokenNames(prose, index),
      ...brokenHeadings(file, prose, index),
      ...brokenScripts(prose, index),
    ];
    if (file.endsWith(".md")) found.push(...brokenLinks(file, text, index), ...brokenOwnHeadings(file, text, index));
    // A path is found as a path and as a name.
    const unique = new Map(found.map(([offset, reference]) => [`${offset} ${reference}`, { offset, reference }]));
    return [...unique.values()].map(({ offset, reference }) => ({ file, line: lineAt(text, offset), reference }));
  });
}

/** The anchor that GitHub gives a heading: lower case, punctuation gone, a hyphen for each space. */
export function anchorOf(heading: string): string {
  return plainHeading(heading)
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
    .replaceAll(" ", "-");
}

type Found = readonly [offset: number, reference: string];

interface TreeIndex {
  readonly paths: ReadonlySet<string>;
  readonly baseNames: ReadonlyMap<string, readonly string[]>;
  readonly topFolders: RegExp;
  readonly headings: ReadonlyMap<string, PageHeadings>;
  readonly scripts: ReadonlySet<string>;
}

interface PageHeadings {
  readonly texts: ReadonlySet<string>;
  readonly anchors: ReadonlySet<string>;
}

function indexTree(tree: Tree): TreeIndex {
  const paths = new Set<string>();
  const baseNames = new Map<string, string[]>();
  const tops = new Set<string>();
  const headings = new Map<string, PageHeadings>();
  for (const [file, text] of tree) {
    paths.add(file);
    for (let folder = posix.dirname(file); folder !== "."; folder = posix.dirname(folder)) paths.add(folder);
    const [top = "", ...rest] = file.split("/");
    if (rest.length > 0) tops.add(top.replaceAll(".", "\\."));
    const name = posix.basename(file);
    baseNames.set(name, [...(baseNames.get(name) ?? []), file]);
    if (file.endsWith(".md")) headings.set(file, headingsOf(text));
  }
  const topFolders = new RegExp(`(?<![\\w/.@*-])(?:\\./)?((?:${[...tops].join("|")})/[\\w./-]*)`, "g");
  const { scripts = {} } = JSON.parse(tree.get("package.json") ?? "{}") as { scripts?: Record<string, string> };
  return { paths, baseNames, headings, topFolders, scripts: new Set(Object.keys(scripts)) };
}

function headingsOf(text: string): PageHeadings {
  const texts = new Set<string>();
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutFences(text).matchAll(/^#+ +(.+?)\s*$/gm)) {
    texts.add(plainHeading(heading));
    const anchor = anchorOf(heading);
    let unique = anchor;
    for (let nth = 1; anchors.has(unique); nth++) unique = `${anchor}-${nth}`;
    anchors.add(unique);
  }
  return { texts, anchors };
}

function plainHeading(heading: string): string {
  return heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll("`", "");
}

function* brokenLinks(file: string, text: string, index: TreeIndex): Iterable<Found> {
  for (const { index: offset, 1: target = "" } of withoutFences(text).matchAll(LINK)) {
    if (/^(?:https?|mailto):/.test(target)) continue;
    const [path = "", anchor] = target.split("#");
    const page = path === "" ? file : posix.join(posix.dirname(file), path).replace(/\/$/, "");
    const exists = index.paths.has(page);
    if (!exists || (anchor !== undefined && index.headings.get(page)?.anchors.has(anchor) !== true))
      yield [offset, target];
  }
}

/** A path that begins with a dot may be meant from the file that has it: beside it may be a folder of the same name as in the root. */
function* brokenPaths(file: string, text: string, index: TreeIndex): Iterable<Found> {
  for (const { index: offset, 0: whole, 1: written = "" } of text.matchAll(index.topFolders)) {
    const path = written.replace(/[./]+$/, "");
    const beside = whole.startsWith("./") ? posix.join(posix.dirname(file), path) : path;
    if (!index.paths.has(path) && !index.paths.has(beside) && !GENERATED.test(path)) yield [offset, written];
  }
}

function* brokenNames(text: string, index: TreeIndex): Iterable<Found> {
  for (const { index: offset, 1: name = "" } of text.matchAll(FILE_NAME)) {
    const candidates = index.baseNames.get(posix.basename(name)) ?? [];
    if (!GENERATED.test(name) && !candidates.some((path) => path === name || path.endsWith(`/${name}`)))
      yield [offset, name];
  }
}

function* brokenHeadings(file: string, text: string, index: TreeIndex): Iterable<Found> {
  for (const { index: offset, 1: path = "", 2: quoted, 3: plain } of unwrapped(text).matchAll(HEADING_OF_PAGE)) {
    const page = index.headings.get(path) ?? index.headings.get(posix.join(posix.dirname(file), path));
    const heading = (quoted ?? plain ?? "").replace(/\s+/g, " ");
    if (page !== undefined && !page.texts.has(heading)) yield [offset, `${path}, "${heading}"`];
  }
}

function* brokenScripts(text: string, index: TreeIndex): Iterable<Found> {
  for (const { index: offset, 0: command, 1: script = "" } of text.matchAll(NPM_SCRIPT)) {
    if (!index.scripts.has(script)) yield [offset, command];
  }
}

function* brokenOwnHeadings(file: string, text: string, index: TreeIndex): Iterable<Found> {
  for (const { index: offset, 1: heading = "" } of text.matchAll(HEADING_OF_THIS_PAGE)) {
    if (index.headings.get(file)?.texts.has(heading) !== true) yield [offset, heading];
  }
}

/** Each of these keeps the length of the text, so that offsets stay those of the file. */
function withoutFences(text: string): string {
  return text.replace(/^```[\s\S]*?^```/gm, (fence) => fence.replace(/[^\n]/g, " "));
}

function commentsOf(text: string): string {
  return text.replace(/^.*$/gm, (line) => (COMMENT_LINE.test(line) ? line : " ".repeat(line.length)));
}

/** A sentence that goes on in the next line of a comment or page reads as one line. */
function unwrapped(text: string): string {
  return text.replace(/\n\s*(?:\*|\/\/|#)? */g, (wrap) => " ".repeat(wrap.length));
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}
