import { Hono } from "hono";
import type { AppEnv } from "../app-env.ts";

/** An hour, so that browsers soon have the look of a new release. */
const CACHE_CONTROL = "public, max-age=3600";

/** The colours have the contrast of WCAG 2.2 AA (4.5:1) in both schemes. */
const STYLESHEET = `
:root { color-scheme: light dark; --text: #1c1b22; --soft: #55535f; --page: #fff; --card: #f4f3f7; --line: #d3d1da;
  --accent: #4b2fb8; --on-accent: #fff; --error: #a1122b; --error-page: #fdecef; }
@media (prefers-color-scheme: dark) { :root { --text: #efeef4; --soft: #b3b0bf; --page: #17161c; --card: #222029;
  --line: #454250; --accent: #b9a8ff; --on-accent: #17161c; --error: #ff9cab; --error-page: #3a1a21; } }
* { box-sizing: border-box; }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); }
header { border-bottom: 1px solid var(--line); }
nav, main { max-width: 42rem; margin: 0 auto; padding: .75rem 1rem; }
nav { display: flex; justify-content: space-between; align-items: center; gap: 1rem; }
.account { display: flex; align-items: center; gap: 1rem; min-width: 0; }
.who { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
.brand { font-weight: 700; text-decoration: none; color: var(--text); }
main { padding-block: 1.5rem 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
a { color: var(--accent); }
a, button, input { border-radius: .4rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -100rem; background: var(--page); padding: .5rem 1rem; }
.skip:focus { left: .5rem; top: .5rem; }
ul { list-style: none; padding: 0; }
.cards { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 12rem), 1fr)); }
.cards li, .sessions li { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem; }
.cards a { font-weight: 600; }
.cards p, .sessions p, .rule { margin: .25rem 0 0; color: var(--soft); font-size: .925rem; }
.sessions { display: grid; gap: .75rem; margin: 0; }
.sessions li { display: flex; justify-content: space-between; align-items: center; gap: 1rem; }
.sessions li > div { min-width: 0; overflow-wrap: anywhere; }
.this { margin-left: .5rem; padding: .1rem .5rem; border-radius: 1rem; background: var(--accent); color: var(--on-accent);
  font-size: .8rem; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; }
form { margin: 0; }
.credentials { display: grid; max-width: 24rem; margin-bottom: 1.5rem; }
label { font-weight: 600; margin-top: 1rem; }
.error + label, .credentials > label:first-child, input[hidden] + label { margin-top: 0; }
input { font: inherit; color: inherit; background: var(--page); border: 1px solid var(--soft); padding: .55rem .7rem;
  margin-top: .25rem; width: 100%; }
input[aria-invalid] { border-color: var(--error); }
button { font: inherit; font-weight: 600; padding: .6rem 1rem; border: 1px solid var(--accent); cursor: pointer;
  color: var(--on-accent); background: var(--accent); white-space: nowrap; }
.credentials button { margin-top: 1.5rem; }
.quiet { color: var(--accent); background: none; padding: .35rem .75rem; }
.danger { color: var(--page); background: var(--error); border-color: var(--error); }
.end-others { margin-top: .75rem; text-align: right; }
.error, .notice { margin: 0 0 1rem; padding: .75rem 1rem; border-radius: .4rem; border: 1px solid; }
.error { color: var(--error); background: var(--error-page); }
.notice { background: var(--card); border-color: var(--line); }
`;

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#4b2fb8"/>
<path d="M16 6 25 26h-4l-2-5h-6l-2 5H7zm0 7-2 5h4z" fill="#fff"/></svg>`;

/** The pages' stylesheet and icon, and the built files of client/browser/. */
export const assets = new Hono<AppEnv>()
  .get("/pages.css", (c) => c.body(STYLESHEET, 200, { "Content-Type": "text/css", "Cache-Control": CACHE_CONTROL }))
  .get("/icon.svg", (c) => c.body(ICON, 200, { "Content-Type": "image/svg+xml", "Cache-Control": CACHE_CONTROL }))
  .get("/:file{(chat|console)-page\\.(js|css)}", async (c) => {
    // Only the path is passed on: the service behind the binding might interpret what else a client sends.
    const { status, body, headers } = await c.env.ASSETS.fetch(`https://assets.invalid${c.req.path}`);
    // A new response, because the headers of a fetched one are immutable.
    return new Response(body, { status, headers });
  });
