import { NAME_RULE, PASSWORD_RULE } from "../account-rules.ts";
import type { Visitor } from "../visitor.ts";
import { type FormError, FormField, FormMessage } from "./form-field.tsx";
import { displayName, Layout } from "./layout.tsx";

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
