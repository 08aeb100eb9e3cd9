import type { Context, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { validator } from "hono/validator";
import * as v from "valibot";
import { problem } from "./problem.ts";

/** A JSON body that a schema describes; anything else is 400 with the field's name. Read it with `c.req.valid("json")`. */
export function jsonBody<S extends v.GenericSchema>(schema: S) {
  return validator("json", (value, c) => {
    if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(c.req.header("Content-Type") ?? "")) {
      return problem(c, "invalid", "Content-Type: allowed is application/json");
    }
    return parsed(c, schema, value, "body");
  });
}

/** The parameters in a path. Read them with `c.req.valid("param")`. */
export function pathParams<S extends v.GenericSchema>(schema: S) {
  return validator("param", (value, c) => {
    // Hono keeps what it cannot decode as it is, so "%ff" and "%25ff" would be the same user.
    if (!isPercentEncoded(new URL(c.req.url).pathname)) {
      return problem(c, "invalid", "path: allowed is percent-encoded UTF-8");
    }
    return parsed(c, schema, value, "path");
  });
}

/** The query. Read it with `c.req.valid("query")`. */
export function query<S extends v.GenericSchema>(schema: S) {
  return validator("query", (value, c) => parsed(c, schema, value, "query"));
}

function parsed<S extends v.GenericSchema>(c: Context, schema: S, value: unknown, where: string) {
  const result = v.safeParse(schema, value, { abortEarly: true });
  return result.success ? result.output : problem(c, "invalid", explain(result.issues[0], where));
}

function isPercentEncoded(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** The name of an unknown field comes from the caller: only this much of it is sent back. */
const MAX_FIELD_CHARACTERS = 100;

function explain(issue: v.BaseIssue<unknown>, where: string): string {
  const path = v.getDotPath(issue);
  if (path === null)
    return issue.type === "check" ? `${where}: ${issue.message}` : `${where}: allowed is a JSON object`;
  const field = path.slice(0, MAX_FIELD_CHARACTERS);
  if (issue.type !== "strict_object") return `${field}: ${issue.message}`;
  return issue.expected === "never" ? `${field}: no such field` : `${field}: needed`;
}

/** 1000 sessids of 11 digits, or 64 grants of 512 bytes, and room for their JSON. */
export const MAX_JSON_BYTES = 64 * 1024;

/** Refuses a body of more bytes. */
export function limitBody(maxBytes = MAX_JSON_BYTES): MiddlewareHandler {
  return bodyLimit({
    maxSize: maxBytes,
    onError: (c) => problem(c, "too_large", `body: allowed are ${maxBytes} bytes`),
  });
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/**
 * Refuses a body that is not UTF-8. Read as text it would be repaired, and two users with different bytes would become one.
 * A packet with the same bytes is Invalid.
 */
export function requireUtf8(): MiddlewareHandler {
  return async function requireUtf8(c, next) {
    try {
      utf8.decode(await c.req.arrayBuffer());
    } catch {
      return problem(c, "invalid", "body: allowed is UTF-8");
    }
    return next();
  };
}
