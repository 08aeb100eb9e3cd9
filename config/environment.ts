import * as v from "valibot";

/** A program's variables as it gets them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables are missing or not allowed. The message names each and says what is allowed; it never shows a value. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Parses the variables that the schema names, and ignores all others. A program has one schema; docs/configuration.md
 * documents it, and test/docs/configuration.test.ts compares the two.
 *
 * @param renamed variables that may still have their old names
 * @throws ConfigError naming every variable that is wrong, by the name that the environment uses
 */
export function parseEnvironment<Schema extends v.GenericSchema>(
  schema: Schema,
  environment: object,
  renamed: RenamedVariables = {},
): v.InferOutput<Schema> {
  const given = environment as Environment;
  const parsed = v.safeParse(schema, withNewNames(given, renamed), { abortPipeEarly: true });
  if (parsed.success) return parsed.output;
  const oldNames = new Map(oldNamesIn(given, renamed).map(([oldName, name]) => [name, oldName]));
  const problems = parsed.issues.map((issue) => {
    const name = v.getDotPath(issue) ?? "environment";
    const oldName = given[name] === undefined ? oldNames.get(name) : undefined;
    // A missing variable is an issue of the object that should hold it.
    return `${oldName === undefined ? name : `${oldName} (now ${name})`}: ${issue.type === "object" ? "needed" : issue.message}`;
  });
  throw new ConfigError(problems.join("; "));
}

/**
 * Calls each parser.
 *
 * @throws ConfigError with the problems of all of them
 */
export function parseAll<Parsed extends readonly unknown[]>(
  ...parsers: { readonly [Index in keyof Parsed]: () => Parsed[Index] }
): Parsed {
  const problems: string[] = [];
  const parsed = parsers.map((parse) => {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(error.message);
      return undefined;
    }
  });
  if (problems.length > 0) throw new ConfigError(problems.join("; "));
  return parsed as unknown as Parsed;
}

/** The variables that have a value, without the spaces around it: compose files and shells write `NAME=` for no value. */
export function withoutEmpty(environment: Environment): Record<string, string> {
  const trimmed = Object.entries(environment).map(([name, value]) => [name, value?.trim()] as const);
  return Object.fromEntries(trimmed.filter((entry): entry is [string, string] => Boolean(entry[1])));
}

/** The new name of each renamed variable, by its old name. */
export type RenamedVariables = Readonly<Record<string, string>>;

/** The environment with the value of each old name under its new name, unless the new name has a value of its own. */
function withNewNames(environment: Environment, renamed: RenamedVariables): Environment {
  const moved = oldNamesIn(environment, renamed).map(([oldName, name]) => [name, environment[oldName]]);
  return { ...Object.fromEntries(moved), ...environment };
}

/** A warning for each old name that the environment uses. */
export function renamingWarnings(environment: Environment, renamed: RenamedVariables): string[] {
  return oldNamesIn(environment, renamed).map(
    ([oldName, name]) => `${oldName} is called ${name} now; version 1.0.0 will not know the old name`,
  );
}

function oldNamesIn(environment: Environment, renamed: RenamedVariables): [oldName: string, name: string][] {
  return Object.entries(renamed).filter(([oldName]) => environment[oldName] !== undefined);
}

/** A whole number in decimal digits, `min` to `max`; wrangler.toml may also give a number. */
export function wholeNumber(min: number, max: number, byDefault: number) {
  const allowed = `allowed is a whole number, ${min}..${max}`;
  return v.optional(digits(min, max, allowed), String(byDefault));
}

/** A port to listen on. */
export function port(byDefault: number) {
  return v.optional(portDigits(), String(byDefault));
}

/** A port to listen on, undefined if it is not set. */
export function optionalPort() {
  return v.optional(portDigits());
}

function portDigits() {
  return digits(0, 65_535, "allowed is a port, 0..65535 (0: any free one)");
}

function digits(min: number, max: number, allowed: string) {
  return v.pipe(
    v.union([v.string(), v.number()], allowed),
    v.transform((value) => parseWholeNumber(String(value), min, max)),
    v.number(allowed),
  );
}

/** A whole number in decimal digits, `min` to `max`; undefined if the text is anything else. */
export function parseWholeNumber(text: string, min: number, max: number): number | undefined {
  const value = /^(?!-0+$)-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}

/** A host name or an IP address. */
export const Host = v.pipe(v.string(), v.regex(/^\S+$/, "allowed is a host name or an IP address"));

/** A flag, as a boolean. */
export function flag(byDefault: "0" | "1" = "0") {
  return v.optional(
    v.pipe(
      v.picklist(["", "0", "1"], "allowed is 0 or 1"),
      v.transform((value) => value === "1"),
    ),
    byDefault,
  );
}

/** A list of items between commas, without the spaces around them; none by default. */
export const List = v.pipe(v.string(), v.transform(splitList));

function splitList(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
