import { expect, it } from "vitest";
import { accountName } from "../../../worker/browser/accounts.ts";

/** Behind it are no letters with a case. */
const LAST = 0x1ffff;

/** Marks that combine with what stands before them, also once that is in lower case. */
const MARKS = ["", "\u0345", "\u0307", "\u0301"];

it("an account's name is the one spelling of itself, so that operators reach every account that can be made", () => {
  const others: string[] = [];
  for (let code = 0x20; code <= LAST; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    for (const mark of MARKS) {
      const name = accountName(`a${String.fromCodePoint(code)}${mark}`);
      if (name !== undefined && accountName(name) !== name) others.push(`${code.toString(16)}${mark}`);
    }
  }
  expect(others).toEqual([]);
});
