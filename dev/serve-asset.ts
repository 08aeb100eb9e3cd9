import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { type Request, Response } from "miniflare";
import { ASSETS_DIRECTORY } from "./build-assets.ts";

const TYPES: Readonly<Record<string, string>> = { ".js": "text/javascript", ".css": "text/css" };

/** The worker's ASSETS, as Cloudflare's asset servers answer it. */
export async function serveAsset({ url }: Pick<Request, "url">): Promise<Response> {
  // A URL's path has no ".." any more.
  const { pathname } = new URL(url);
  const type = TYPES[extname(pathname)];
  if (type === undefined) return notFound();
  const body = await readFile(join(ASSETS_DIRECTORY, pathname)).catch(() => undefined);
  if (body === undefined) return notFound();
  return new Response(body, {
    headers: { "Content-Type": type, "Cache-Control": "public, max-age=0, must-revalidate" },
  });
}

function notFound(): Response {
  return new Response(null, { status: 404 });
}
