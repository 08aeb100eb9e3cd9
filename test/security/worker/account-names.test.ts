import { expect, it } from "vitest";
import { accountName } from "../../../worker/browser/accounts.ts";

/** Behind it are no letters with a case. */
const LAST = 0x1ffff;

/** Marks that combine with the character before them, also after that was changed to lower case. */
const MARKS = ["", "\u0345", "\u0307", "\u0301"];

it("an account's name is its own spelling, so that operators can address every account", () => {
  const others: string[] = [];
  for (let code = 0x20; code <= LAST; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const character = String.fromCodePoint(code);
    // A character that nothing changes combines with a mark in the first normalisation, for good.
    const marks = character.normalize("NFKC").toLowerCase() === character ? [""] : MARKS;
    for (const mark of marks) {
      const name = accountName(`a${character}${mark}`);
      if (name !== undefined && accountName(name) !== name) others.push(`${code.toString(16)}${mark}`);
    }
  }
  expect(others).toEqual([]);
});
