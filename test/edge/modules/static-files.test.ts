import { expect, test } from "vitest";
import staticFiles from "../../../edge/modules/static-files.ts";

/** A disk that has every file, and tells which was read. */
const FILES = { fetch: async (url: string) => new Response(`read ${url}`) } as unknown as Fetcher;
const EMPTY = { fetch: async () => new Response("no file", { status: 404 }) } as unknown as Fetcher;

function ask(path: string, files = FILES): Promise<Response> {
  return staticFiles.fetch(new Request(`https://assets.invalid${path}`), { FILES: files });
}

test.each([
  ["/artoria/pages.css", "text/css", "/artoria/pages.css"],
  ["/artoria/chat-page.js", "text/javascript", "/artoria/chat-page.js"],
  ["/docs", "text/html; charset=utf-8", "/docs.html"],
  ["/docs.html", "text/html; charset=utf-8", "/docs.html"],
])("%s has the type %s", async (path, type, file) => {
  const response = await ask(path);
  expect([response.status, response.headers.get("Content-Type")]).toEqual([200, type]);
  expect(await response.text()).toBe(`read http://files.invalid${file}`);
});

test.each([
  ...["/", "/_headers.txt", "/a%2findex.js", "/a%00.js", "/.dev.vars"],
  ...["/a.b.js", "/a//b.js", "/a.toString", "/index.capnp", "/a/"],
])("%s is no file, whatever the disk has", async (path) => {
  expect((await ask(path)).status).toBe(404);
});

test("a file that the disk does not have is not found, and the disk's own text is not shown", async () => {
  const response = await ask("/artoria/none.js", EMPTY);
  expect([response.status, await response.text()]).toEqual([404, ""]);
});
