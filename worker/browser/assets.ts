import { type Context, Hono } from "hono";
import type { AppEnv } from "../app-env.ts";
import { ASSETS_PATH } from "./pages/layout.tsx";

/** The page loads its stylesheet, and nothing else. dist/assets/_headers has the same (dev/build-assets.ts). */
const DOCS_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/**
 * What dev/build-assets.ts has built: what pages load, and the description of the API. Deployed, requests for these files do not
 * reach the worker.
 */
export const assets = new Hono<AppEnv>()
  .get(`${ASSETS_PATH}/:file{(pages|(chat|console|docs)-page)\\.(js|css)|icon\\.svg}`, serveAsset)
  .get("/openapi.json", serveAsset)
  .get("/docs", async (c) => {
    const response = await serveAsset(c);
    response.headers.set("Content-Security-Policy", DOCS_POLICY);
    return response;
  });

async function serveAsset(c: Context<AppEnv>): Promise<Response> {
  // Only the path is passed on: the service behind the binding might interpret what else a client sends.
  const { status, body, headers } = await c.env.ASSETS.fetch(`https://assets.invalid${c.req.path}`);
  // A new response, because the headers of a fetched one are immutable.
  return new Response(body, { status, headers });
}
