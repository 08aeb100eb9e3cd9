import type { Context } from "hono";
import { PROBLEMS, type ProblemCode, problem } from "../http/problem.ts";
import { acceptsHtml } from "./accepts-html.ts";
import type { PageEnv } from "./page-env.ts";
import { MessagePage } from "./pages/message-page.tsx";

/** A refusal as a page, or as problem+json for who accepts only JSON; the status is that of the code. */
export function refusePage(
  c: Context<PageEnv>,
  code: ProblemCode,
  title: string,
  text: string,
): Response | Promise<Response> {
  if (!acceptsHtml(c)) return problem(c, code, text);
  return c.html(<MessagePage visitor={c.get("visitor")} title={title} text={text} />, PROBLEMS[code].status);
}
