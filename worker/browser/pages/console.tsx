import type { Context } from "hono";
import { consoleRight, type PageEnv } from "../visitor.ts";
import { ASSETS_PATH, Layout } from "./layout.tsx";

/** The operators' console; client/browser/console/console-page.ts builds it. */
export function showConsole(c: Context<PageEnv>): Response | Promise<Response> {
  const visitor = c.get("visitor");
  const { sessid, grants } = visitor.kind === "user" ? visitor : {};
  return c.html(
    <Layout title="Console" visitor={visitor} script={`${ASSETS_PATH}/console-page.js`}>
      <link rel="stylesheet" href={`${ASSETS_PATH}/console-page.css`} />
      <div id="console" class="console" data-right={consoleRight(grants)} data-sessid={sessid}>
        <h1>Console</h1>
        <noscript>
          <p class="notice">The console needs JavaScript.</p>
        </noscript>
      </div>
    </Layout>,
  );
}
