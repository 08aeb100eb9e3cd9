import type { Context } from "hono";

/** Whether the caller takes a page: false for one that accepts only JSON. */
export function acceptsHtml(c: Context): boolean {
  const accept = c.req.header("Accept");
  return accept === undefined || accept === "" || /text\/(?:html|\*)|application\/xhtml\+xml|\*\/\*/i.test(accept);
}
