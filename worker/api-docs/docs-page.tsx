import { html } from "hono/html";
import { API_OPERATIONS, type ApiOperation } from "./operations.ts";

const CREDENTIALS = {
  service: "Authorization: Bearer <API key>",
  client: "Authorization: Bearer <session token>, or the cookie __Host-sid",
  anyone: "none needed",
} as const;

/** `/docs`: the API as a page for people, in HTML. */
export function docsPage(): string {
  return html`<!doctype html>${(
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Artoria API</title>
        <link rel="stylesheet" href="/artoria/docs-page.css" />
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
  )}`.toString();
}

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
