import type { Context, MiddlewareHandler } from "hono";
import { addressKey, clientAddress } from "../http/client-address.ts";
import { openOnce } from "../http/open-store.ts";
import { refusePage } from "./refuse-page.tsx";
import type { PageEnv } from "./visitor.ts";

/** Two fields of text and a return address take less than 8 KiB; what is a little too long still gets a page that says so. */
const MAX_FORM_BYTES = 64 * 1024;

/**
 * Receives a page's form, whoever sends it: bounded in time, size and number (http/body-intake.ts), and nothing but a form that can be
 * read. Behind it `c.req.parseBody()` does not fail.
 */
export function receiveForm(): MiddlewareHandler<PageEnv> {
  return async function receiveForm(c, next) {
    const { body, method } = c.req.raw;
    if (body === null || method === "GET" || method === "HEAD") return next();
    if (Number(c.req.header("Content-Length") ?? 0) > MAX_FORM_BYTES) return refuseSize(c);
    const { intake, settings } = openOnce(c.env);
    const received = await intake.receive(body, MAX_FORM_BYTES, addressKey(clientAddress(c, settings)));
    if (received.kind === "tooLarge") return refuseSize(c);
    if (received.kind === "tooSlow") {
      return refusePage(c, "too_slow", "Too slow", "The form did not arrive in time. Send it again.");
    }
    c.req.raw = new Request(c.req.raw, { body: received.bytes });
    return received.bytes.byteLength === 0 || (await isForm(c)) ? next() : refuseForm(c);
  };
}

/** Whether the body is what its Content-Type says, and that is a form. */
async function isForm(c: Context<PageEnv>): Promise<boolean> {
  const type = c.req.header("Content-Type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded" && type !== "multipart/form-data") return false;
  try {
    await c.req.parseBody();
    return true;
  } catch {
    return false;
  }
}

function refuseSize(c: Context<PageEnv>): Response | Promise<Response> {
  return refusePage(c, "too_large", "Too large", `Allowed are ${MAX_FORM_BYTES} bytes.`);
}

function refuseForm(c: Context<PageEnv>): Response | Promise<Response> {
  return refusePage(
    c,
    "invalid",
    "Not a form",
    "body: allowed is a form, application/x-www-form-urlencoded or multipart/form-data",
  );
}
