import type { Context } from "hono";
import { readForm } from "../../http/form-body.ts";
import { requestHost } from "../../http/host.ts";
import { NAME_RULE, PASSWORD_RULE } from "../accounts.ts";
import type { Visitor } from "../visitor.ts";
import { type FormError, FormField, FormMessage } from "./form-field.tsx";

/** What is wrong with a login or a sign-up. */
export type CredentialsError = FormError<"user" | "password">;

/** What the form shows again after it was refused. */
export interface CredentialsPageProps {
  readonly visitor: Visitor;
  /** The page to go to afterwards, a path of this site. */
  readonly returnTo: string;
  /** What was typed as the user name. */
  readonly user?: string;
  readonly error?: CredentialsError;
}

interface FormProps extends CredentialsPageProps {
  readonly action: string;
  readonly passwordKind: "current-password" | "new-password";
  readonly submit: string;
}

export function CredentialsForm({ action, passwordKind, submit, returnTo, user, error }: FormProps) {
  const isNew = passwordKind === "new-password";
  // Whoever sent the form wrong types next in the field that is wrong.
  const focus = error?.field ?? (error === undefined || user === "" ? "user" : "password");
  return (
    <form method="post" action={action} class="credentials">
      <FormMessage error={error} />
      <FormField
        name="user"
        label="User name"
        autocomplete="username"
        rule={isNew ? NAME_RULE : undefined}
        value={user ?? ""}
        focus={focus === "user"}
        error={error}
      />
      <FormField
        name="password"
        label="Password"
        autocomplete={passwordKind}
        rule={isNew ? PASSWORD_RULE : undefined}
        focus={focus === "password"}
        error={error}
      />
      <input type="hidden" name="return" value={returnTo} />
      <button type="submit">{submit}</button>
    </form>
  );
}

/** What a login or sign-up form says; a field that is missing, or no text, is empty. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
  /** A path of this site. */
  readonly returnTo: string;
}

/** Reads a login or sign-up form. */
export async function readCredentials(c: Context): Promise<Credentials> {
  const text = await readForm(c);
  return { user: text("user"), password: text("password"), returnTo: safeReturn(text("return"), requestHost(c)) };
}

/** A path with its query: `/me?tab=1`. Nobody's address is longer; what is, is not worth a redirect. */
const MAX_RETURN_CHARACTERS = 2048;

/** Stands in for this site while an address is resolved; `.invalid` is nobody's (RFC 6761). */
const THIS_SITE = "https://this-site.invalid";

/** Where to go after a login that was not asked for by a page. */
export const MAIN_PAGE = "/";

/**
 * The `return` of a login page's query: percent-encoded as in any form, or, beginning with a plain `/`, all that follows as
 * it is. That is how a proxy which cannot encode writes it: `/login?return=$request_uri`.
 */
export function returnInQuery(requestUrl: string): string {
  const raw = /[?&]return=([^#]*)/.exec(requestUrl)?.[1] ?? "";
  return raw.startsWith("/") ? raw : (new URLSearchParams(`return=${raw}`).get("return") ?? "");
}

/**
 * The path of this site to go back to, and {@link MAIN_PAGE} for anything else: another site in whatever spelling, and
 * the pages that led here. `host` is this site's: an absolute address of it is taken, as Traefik writes it.
 */
export function safeReturn(wanted: string, host: string): string {
  if (wanted.length > MAX_RETURN_CHARACTERS) return MAIN_PAGE;
  const address = parseReturn(wanted, host);
  if (address === null) return MAIN_PAGE;
  const path = address.pathname + address.search;
  // "/.//other.example" is on this site until it is a path alone.
  if (path.startsWith("//") || /^\/(?:login|signup|logout)\/?$/.test(address.pathname)) return MAIN_PAGE;
  return path;
}

function parseReturn(wanted: string, host: string): URL | null {
  if (/^https?:\/\//.test(wanted)) {
    const absolute = URL.parse(wanted);
    return absolute?.host === host ? absolute : null;
  }
  if (!wanted.startsWith("/")) return null;
  // The parser reads backslashes, tabs and newlines as browsers do: what would leave the site shows another origin.
  const address = URL.parse(wanted, THIS_SITE);
  return address?.origin === THIS_SITE ? address : null;
}
