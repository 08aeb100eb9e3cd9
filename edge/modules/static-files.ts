interface StaticFilesEnv {
  /** workerd's disk service of dist/edge/assets. */
  readonly FILES: Fetcher;
}

/** What dev/build-assets.ts makes; a path without one of these endings is a page's. */
const TYPES: Readonly<Record<string, string>> = {
  js: "text/javascript",
  css: "text/css",
  svg: "image/svg+xml",
  json: "application/json",
  html: "text/html; charset=utf-8",
};

/** Folders and a file of plain letters, with one of the endings or none: nothing that a disk could take for another path. */
const PATH = /^(?:\/[\w-]+)+(?:\.([a-z]+))?$/;

/** The worker's ASSETS outside Cloudflare. It responds as Cloudflare's asset servers do to the requests that the worker makes. */
export default {
  async fetch({ url }: Request, { FILES }: StaticFilesEnv): Promise<Response> {
    const { pathname } = new URL(url);
    const [path, ending = "html"] = PATH.exec(pathname) ?? [];
    const type = Object.hasOwn(TYPES, ending) ? TYPES[ending] : undefined;
    if (path === undefined || type === undefined) return notFound();
    const file = await FILES.fetch(`http://files.invalid${path}${path.endsWith(`.${ending}`) ? "" : ".html"}`);
    if (!file.ok) return notFound();
    return new Response(file.body, {
      headers: { "Content-Type": type, "Cache-Control": "public, max-age=0, must-revalidate" },
    });
  },
};

function notFound(): Response {
  return new Response(null, { status: 404 });
}
