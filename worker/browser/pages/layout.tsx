import { raw } from "hono/html";
import type { Child } from "hono/jsx";
import { accountOfUser } from "../accounts.ts";
import type { Visitor } from "../visitor.ts";

/** Where the pages' stylesheet, icon and scripts are: one path, so that a proxy can route them beside a site's own. */
export const ASSETS_PATH = "/artoria";

interface LayoutProps {
  readonly title: string;
  readonly visitor: Visitor;
  /** The address of the page's module script. */
  readonly script?: string;
  readonly children?: Child;
}

/** The frame of every page: head, navigation, main. */
export function Layout({ title, visitor, script, children }: LayoutProps) {
  return (
    <>
      {raw("<!DOCTYPE html>")}
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <title>{title} · Artoria</title>
          <link rel="icon" href={`${ASSETS_PATH}/icon.svg`} type="image/svg+xml" />
          <link rel="stylesheet" href={`${ASSETS_PATH}/pages.css`} />
          {script && <script type="module" src={script} />}
        </head>
        <body>
          <a class="skip" href="#main">
            Skip to the page
          </a>
          <header>
            <nav aria-label="Site">
              <a class="brand" href="/">
                Artoria
              </a>
              <div class="account">
                {visitor.kind === "user" ? <Account user={visitor.user} /> : <Entrance maySignUp={visitor.maySignUp} />}
              </div>
            </nav>
          </header>
          <main id="main">{children}</main>
        </body>
      </html>
    </>
  );
}

/** How the pages call a session's user: an account by its name. */
export function displayName(user: string): string {
  return accountOfUser(user) ?? user;
}

function Account({ user }: { user: string }) {
  return (
    <>
      <a class="who" href="/me">
        {displayName(user)}
      </a>
      <LogoutForm />
    </>
  );
}

function Entrance({ maySignUp }: { maySignUp: boolean }) {
  return (
    <>
      <a href="/login">Log in</a>
      {maySignUp && <a href="/signup">Sign up</a>}
    </>
  );
}

function LogoutForm() {
  return (
    <form method="post" action="/logout">
      <button type="submit" class="quiet">
        Log out
      </button>
    </form>
  );
}

/** What is wrong with a form: with one field, or without `field` with all of them together. */
export interface FormError<Name extends string> {
  readonly message: string;
  readonly field?: Name;
}

interface FormFieldProps<Name extends string> {
  readonly name: Name;
  readonly label: string;
  readonly autocomplete: "username" | "current-password" | "new-password";
  /** What is allowed in the field, shown below it. */
  readonly rule?: string | undefined;
  /** The text that the field begins with. */
  readonly value?: string;
  readonly focus: boolean;
  readonly error: FormError<Name> | undefined;
}

/** The error message at the top of a form. */
export function FormMessage({ error }: { error: FormError<string> | undefined }) {
  if (error === undefined) return null;
  return (
    <p id="error" class="error" role="alert">
      {error.message}
    </p>
  );
}

/** A field with its label and its rule. A screen reader reads the rule and the error with the field that they belong to. */
export function FormField<Name extends string>({ name, label, rule, error, focus, ...input }: FormFieldProps<Name>) {
  const isWrong = error !== undefined && (error.field ?? name) === name;
  const ids = [...(isWrong ? ["error"] : []), ...(rule === undefined ? [] : [`${name}-rule`])];
  const isName = input.autocomplete === "username";
  return (
    <>
      <label for={name}>{label}</label>
      <input
        id={name}
        name={name}
        type={isName ? "text" : "password"}
        {...(isName && { autocapitalize: "none", spellcheck: false })}
        required
        autofocus={focus}
        {...input}
        {...(isWrong && { "aria-invalid": "true" })}
        {...(ids.length > 0 && { "aria-describedby": ids.join(" ") })}
      />
      {rule !== undefined && (
        <p id={`${name}-rule`} class="rule">
          {rule}
        </p>
      )}
    </>
  );
}
