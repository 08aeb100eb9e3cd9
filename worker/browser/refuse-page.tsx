import type { Context } from "hono";
import { PROBLEMS, type ProblemCode, problem } from "../http/problem.ts";
import { Layout } from "./pages/layout.tsx";
import { acceptsHtml, type PageEnv, type Visitor } from "./visitor.ts";

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

/** A page that says one thing. */
export function MessagePage({ visitor, title, text }: { visitor: Visitor; title: string; text: string }) {
  return (
    <Layout title={title} visitor={visitor}>
      <h1>{title}</h1>
      <p>{text}</p>
      <p>
        <a href="/">Go to the main page</a>
      </p>
    </Layout>
  );
}
