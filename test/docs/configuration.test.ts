import { readFileSync } from "node:fs";
import { Command } from "commander";
import type * as v from "valibot";
import { describe, expect, test } from "vitest";
import { addAccountCommands } from "../../client/command/account-commands.ts";
import { addChatCommand } from "../../client/command/chat-command.ts";
import { addServiceCommands } from "../../client/command/service-commands.ts";
import { StackVariables } from "../../dev/config.ts";
import { EdgeVariables } from "../../edge/config.ts";
import { RENAMED_REDIS_REST_VARIABLES, RedisRestVariables } from "../../redis-rest/config.ts";
import { BridgeVariables, RENAMED_BRIDGE_VARIABLES } from "../../tcp-bridge/config.ts";
import { WorkerVariables } from "../../worker/config.ts";
import { HasherVariables } from "../../worker/password-hasher/password-service.ts";

/** The default of each variable as text; undefined for a variable that has none. */
type Defaults = ReadonlyMap<string, string | undefined>;

/** In the order of the page; a heading belongs to the first that it matches. */
const PROGRAMS: readonly [heading: RegExp, defaults: Defaults][] = [
  [/npm start/, schemaDefaults(StackVariables.entries)],
  [/npm run edge/, schemaDefaults(EdgeVariables.entries)],
  [/password hasher/i, schemaDefaults(HasherVariables.entries)],
  [/worker/i, schemaDefaults(WorkerVariables.entries)],
  [/npm run bridge/, schemaDefaults(BridgeVariables.entries)],
  [/npm run redis-rest/, schemaDefaults(RedisRestVariables.entries)],
  [/npm run artoria/, commandLineDefaults()],
];

/** What the page says of a variable without a default of its own. */
const NO_DEFAULT = /^(none|needed|unset|as `|the |`dev-key` on loopback)/;

const page = readPage("configuration.md");

describe("docs/configuration.md", () => {
  test.each(PROGRAMS)(
    "documents each variable of the program of %s, with its default, and no other",
    (heading, defaults) => {
      const documented = documentedDefaults(heading);
      expect([...documented.keys()].toSorted()).toEqual([...defaults.keys()].toSorted());
      for (const [name, byDefault] of defaults) {
        const said = documented.get(name) ?? "";
        if (byDefault === undefined) expect([name, said]).toEqual([name, expect.stringMatching(NO_DEFAULT)]);
        else expect([name, said.replaceAll("`", "").replace(/;.*$/, "")]).toEqual([name, byDefault]);
      }
    },
  );
});

describe("docs/upgrading.md", () => {
  test("documents the old name of each renamed variable, with the new one", () => {
    const rows = [...readPage("upgrading.md").matchAll(/^\| `([A-Z_]+)` +\| `([A-Z_]+)` +\|$/gm)].map(
      ([, oldName, name]) => [oldName, name],
    );
    expect(Object.fromEntries(rows)).toEqual({ ...RENAMED_BRIDGE_VARIABLES, ...RENAMED_REDIS_REST_VARIABLES });
  });
});

function readPage(name: string): string {
  return readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");
}

/** The rows of the tables under a program's heading: each names one or more variables, and a default for each or for all. */
function documentedDefaults(heading: RegExp): Map<string, string> {
  const sections = page.split(/^(?=##+ )/m);
  const belongsTo = (section: string) => PROGRAMS.find(([pattern]) => pattern.test(section.split("\n")[0] ?? ""))?.[0];
  const rows = sections
    .filter((section) => belongsTo(section) === heading)
    .flatMap((section) => [...section.matchAll(/^\| ((?:`[A-Z0-9_]+`(?:, )?)+)[^|]*\| ([^|]*?) *\|/gm)]);
  return new Map(
    rows.flatMap(([, names = "", said = ""]) => {
      const defaults = said.split(", ");
      return [...names.matchAll(/`(.+?)`/g)].map(([, name = ""], at) => [name, defaults[at] ?? said] as const);
    }),
  );
}

function schemaDefaults(entries: v.ObjectEntries): Defaults {
  return new Map(
    Object.entries(entries).map(([name, schema]) => {
      const byDefault = "default" in schema ? schema.default : undefined;
      return [name, byDefault === undefined || byDefault === "" ? undefined : String(byDefault)];
    }),
  );
}

/** The variables that can stand for an option, and API_KEY, which never is one. */
function commandLineDefaults(): Defaults {
  const program = new Command();
  addServiceCommands(program);
  addChatCommand(program);
  addAccountCommands(program);
  const withCommands = (command: Command): Command[] => [command, ...command.commands.flatMap(withCommands)];
  const options = withCommands(program).flatMap((command) => command.options);
  const defaults = options.map(({ envVar, defaultValue, defaultValueDescription }) => {
    const byDefault = defaultValueDescription ?? defaultValue;
    return [envVar ?? "", byDefault === undefined ? undefined : String(byDefault)] as const;
  });
  return new Map([...defaults.filter(([name]) => name !== ""), ["API_KEY", undefined]]);
}
