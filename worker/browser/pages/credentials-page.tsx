import { NAME_RULE, PASSWORD_RULE } from "../account-rules.ts";
import type { Visitor } from "../visitor.ts";
import { displayName, Layout } from "./layout.tsx";

/** What the form shows again after it was refused. */
export interface CredentialsPageProps {
  readonly visitor: Visitor;
  /** The page to go to afterwards, a path of this site. */
  readonly returnTo: string;
  /** What was typed as the user name. */
  readonly user?: string;
  readonly error?: FormError;
}

/** What is wrong with the form, and with which of its fields; without a field with both together. */
export interface FormError {
  readonly message: string;
  readonly field?: "user" | "password";
}

/** The login page. */
export function LoginPage(props: CredentialsPageProps) {
  const { visitor, returnTo } = props;
  return (
    <Layout title="Log in" visitor={visitor}>
      <h1>Log in</h1>
      {visitor.kind === "user" && (
        <p class="notice" role="status">
          You are logged in as {displayName(visitor.user)}. <a href={returnTo}>Go on</a>, or log in as somebody else.
        </p>
      )}
      <CredentialsForm {...props} action="/login" passwordKind="current-password" submit="Log in" />
      {visitor.maySignUp && (
        <p>
          No account yet? <a href={`/signup?return=${encodeURIComponent(returnTo)}`}>Sign up</a>
        </p>
      )}
    </Layout>
  );
}

/** The sign-up page. */
export function SignupPage(props: CredentialsPageProps) {
  return (
    <Layout title="Sign up" visitor={props.visitor}>
      <h1>Sign up</h1>
      <CredentialsForm {...props} action="/signup" passwordKind="new-password" submit="Sign up" />
      <p>
        Have an account? <a href={`/login?return=${encodeURIComponent(props.returnTo)}`}>Log in</a>
      </p>
    </Layout>
  );
}

interface FormProps extends CredentialsPageProps {
  readonly action: string;
  readonly passwordKind: "current-password" | "new-password";
  readonly submit: string;
}

function CredentialsForm({ action, passwordKind, submit, returnTo, user, error }: FormProps) {
  const isNew = passwordKind === "new-password";
  // Whoever sent the form wrong types next in the field that is wrong.
  const focus = error?.field ?? (error === undefined || user === "" ? "user" : "password");
  return (
    <form method="post" action={action} class="credentials">
      {error && (
        <p id="error" class="error" role="alert">
          {error.message}
        </p>
      )}
      <label for="user">User name</label>
      <input
        id="user"
        name="user"
        type="text"
        autocomplete="username"
        autocapitalize="none"
        spellcheck={false}
        required
        value={user ?? ""}
        autofocus={focus === "user"}
        {...describedBy("user", error, isNew)}
      />
      {isNew && (
        <p id="user-rule" class="rule">
          {NAME_RULE}
        </p>
      )}
      <label for="password">Password</label>
      <input
        id="password"
        name="password"
        type="password"
        autocomplete={passwordKind}
        required
        autofocus={focus === "password"}
        {...describedBy("password", error, isNew)}
      />
      {isNew && (
        <p id="password-rule" class="rule">
          {PASSWORD_RULE}
        </p>
      )}
      <input type="hidden" name="return" value={returnTo} />
      <button type="submit">{submit}</button>
    </form>
  );
}

/** Ties the message and the rule to their field, so that a screen reader says them with it. */
function describedBy(field: "user" | "password", error: FormError | undefined, hasRule: boolean) {
  const isWrong = error !== undefined && (error.field ?? field) === field;
  const ids = [...(isWrong ? ["error"] : []), ...(hasRule ? [`${field}-rule`] : [])];
  return {
    ...(isWrong && { "aria-invalid": "true" }),
    ...(ids.length > 0 && { "aria-describedby": ids.join(" ") }),
  };
}
