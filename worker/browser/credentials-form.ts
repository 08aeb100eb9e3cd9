import type { Context } from "hono";
import { requestHost } from "../http/same-origin.ts";
import { safeReturn } from "./return-address.ts";

/** What a login or sign-up form says; a field that is missing, or no text, is empty. */
export interface CredentialsForm {
  readonly user: string;
  readonly password: string;
  /** A path of this site. */
  readonly returnTo: string;
}

/** Reads the form, urlencoded or multipart; fields that are not known are passed over. */
export async function readCredentialsForm(c: Context): Promise<CredentialsForm> {
  const fields = await readFields(c);
  const text = (name: string) => {
    const value = fields[name];
    return typeof value === "string" ? value : "";
  };
  return { user: text("user"), password: text("password"), returnTo: safeReturn(text("return"), requestHost(c)) };
}

/** The fields of a body; one that is broken has none. */
async function readFields(c: Context): Promise<Record<string, unknown>> {
  try {
    return await c.req.parseBody();
  } catch {
    return {};
  }
}
