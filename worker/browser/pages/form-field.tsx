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
