import { PASSWORD_RULE } from "../accounts.ts";
import type { Visitor } from "../visitor.ts";
import { type FormError, FormField, FormMessage, Layout } from "./layout.tsx";

/** What is wrong with the form that changes a password. */
export type PasswordChangeError = FormError<"current" | "password" | "again">;

/** What is wrong with a form whose one field is the password. */
export type PasswordError = FormError<"password">;

interface OwnAccountPageProps<Error> {
  readonly visitor: Visitor;
  /** The account's name. */
  readonly name: string;
  readonly error?: Error | undefined;
}

/** The page on which an owner changes the password. */
export function PasswordPage({ visitor, name, error }: OwnAccountPageProps<PasswordChangeError>) {
  const focus = error?.field ?? "current";
  return (
    <Layout title="Change your password" visitor={visitor}>
      <h1>Change your password</h1>
      <p>It ends your sessions everywhere but in this browser.</p>
      <form method="post" action="/me/password" class="credentials">
        <FormMessage error={error} />
        <AccountName name={name} />
        <FormField
          name="current"
          label="Current password"
          autocomplete="current-password"
          focus={focus === "current"}
          error={error}
        />
        <FormField
          name="password"
          label="New password"
          autocomplete="new-password"
          rule={PASSWORD_RULE}
          focus={focus === "password"}
          error={error}
        />
        <FormField
          name="again"
          label="New password, again"
          autocomplete="new-password"
          focus={focus === "again"}
          error={error}
        />
        <button type="submit">Change password</button>
      </form>
      <BackToAccount />
    </Layout>
  );
}

/** The page on which an owner deletes the account. */
export function DeletionPage({ visitor, name, error }: OwnAccountPageProps<PasswordError>) {
  return (
    <Layout title="Delete your account" visitor={visitor}>
      <h1>Delete your account</h1>
      <p>
        It ends all your sessions and cannot be undone. Anybody may take the name <strong>{name}</strong> afterwards.
      </p>
      <form method="post" action="/me/delete" class="credentials">
        <FormMessage error={error} />
        <AccountName name={name} />
        <FormField name="password" label="Password" autocomplete="current-password" focus error={error} />
        <button type="submit" class="danger">
          Delete account
        </button>
      </form>
      <BackToAccount />
    </Layout>
  );
}

/** The page on which an owner ends another session or, without `sessid`, all others. */
export function EndSessionsPage({
  visitor,
  name,
  sessid,
  error,
}: OwnAccountPageProps<PasswordError> & { readonly sessid: number | undefined }) {
  const [title, action] =
    sessid === undefined
      ? ["End all other sessions", "/me/sessions/end-others"]
      : ["End this session", "/me/sessions/end"];
  return (
    <Layout title={title} visitor={visitor}>
      <h1>{title}</h1>
      <p>Your password shows that it is you who asks.</p>
      <form method="post" action={action} class="credentials">
        <FormMessage error={error} />
        <AccountName name={name} />
        {sessid !== undefined && <input type="hidden" name="sessid" value={String(sessid)} />}
        <FormField name="password" label="Password" autocomplete="current-password" focus error={error} />
        <button type="submit">{title}</button>
      </form>
      <BackToAccount />
    </Layout>
  );
}

/** Tells a password manager which account the password belongs to. */
function AccountName({ name }: { name: string }) {
  return <input type="text" name="user" autocomplete="username" value={name} readonly hidden />;
}

function BackToAccount() {
  return (
    <p>
      <a href="/me">Back to your account</a>
    </p>
  );
}
