/** What is wrong with a form, and with which of its fields; without a field with all of them together. */
export interface FormError<Name extends string> {
  readonly message: string;
  readonly field?: Name;
}

/** What every field of a form needs. */
export interface FormFieldProps<Name extends string> {
  readonly name: Name;
  readonly label: string;
  readonly autocomplete: "username" | "current-password" | "new-password";
  /** What is allowed in it, said below it. */
  readonly rule?: string | undefined;
  /** What it shows at first. */
  readonly value?: string;
  readonly focus: boolean;
  readonly error: FormError<Name> | undefined;
}

/** The form's message, at its top. */
export function FormMessage({ error }: { error: FormError<string> | undefined }) {
  if (error === undefined) return null;
  return (
    <p id="error" class="error" role="alert">
      {error.message}
    </p>
  );
}

/** A field with its label and its rule; the message and the rule are tied to it, so that a screen reader says them with it. */
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
