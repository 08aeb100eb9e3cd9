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

/** Reads a login or sign-up form. */
export async function readCredentialsForm(c: Context): Promise<CredentialsForm> {
  const text = await readForm(c);
  return { user: text("user"), password: text("password"), returnTo: safeReturn(text("return"), requestHost(c)) };
}

/** Reads a form, urlencoded or multipart; gives a field's text, empty where it is missing or no text. */
export async function readForm(c: Context): Promise<(name: string) => string> {
  const fields = await c.req.parseBody();
  return (name) => {
    const value = fields[name];
    return typeof value === "string" ? value : "";
  };
}
