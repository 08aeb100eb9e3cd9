import { Hono } from "hono";
import { html } from "hono/html";
import { NONCE, secureHeaders } from "hono/secure-headers";
import type { AppEnv } from "../app-env.ts";
import { API_OPERATIONS, type ApiOperation } from "./openapi-operations.ts";

const CREDENTIALS = {
  service: "Authorization: Bearer <API key>",
  client: "Authorization: Bearer <session token>, or the cookie __Host-sid",
  anyone: "none needed",
} as const;

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 0 auto; padding: 1rem; color: #1b1b1b; background: #fff; }
section { border-top: 1px solid #ccc; padding: .5rem 0; }
h2 { font: 600 1rem/1.5 ui-monospace, monospace; margin: .5rem 0; overflow-wrap: anywhere; }
.method { text-transform: uppercase; color: #0b57a4; }
a:focus-visible { outline: 3px solid #0b57a4; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #161616; } .method, a { color: #8cc4ff; } }
`;

/** `/docs`: the API as a page for people. */
export const docsPage = new Hono<AppEnv>()
  .use(
    secureHeaders({ contentSecurityPolicy: { defaultSrc: ["'none'"], styleSrc: [NONCE], frameAncestors: ["'none'"] } }),
  )
  .get("/", (c) =>
    c.html(
      html`<!doctype html>${(
        <html lang="en">
          <head>
            <meta charset="utf-8" />
            <meta name="viewport" content="width=device-width, initial-scale=1" />
            <title>Artoria API</title>
            <style nonce={c.get("secureHeadersNonce")}>{STYLE}</style>
          </head>
          <body>
            <main>
              <h1>Artoria API, version 1</h1>
              <p>
                JSON in, JSON out; errors are <code>application/problem+json</code> with a stable <code>code</code>. For
                machines: <a href="/openapi.json">openapi.json</a>.
              </p>
              {API_OPERATIONS.map((operation) => (
                <Operation operation={operation} />
              ))}
            </main>
          </body>
        </html>
      )}`,
    ),
  );

function Operation({ operation }: { operation: ApiOperation }) {
  const { method, path, caller, summary, parameters = [], responses, problems = [] } = operation;
  return (
    <section aria-labelledby={`${method}-${path}`}>
      <h2 id={`${method}-${path}`}>
        <span class="method">{method}</span> {path}
      </h2>
      <p>{summary}</p>
      <ul>
        <li>Credential: {CREDENTIALS[caller]}</li>
        {parameters.map((parameter) => (
          <li>
            {parameter.in} <code>{parameter.name}</code>: {parameter.description}
          </li>
        ))}
        {Object.entries(responses).map(([status, [description]]) => (
          <li>
            {status}: {description}
          </li>
        ))}
        {problems.length > 0 && <li>Refusals of its own: {problems.join(", ")}</li>}
      </ul>
    </section>
  );
}
