import { describe, expect, test } from "vitest";
import { legible } from "../../client/browser/console/legible-text.ts";

describe("a user's name in the console", () => {
  test.each(["kim", "web:kim", "<b>", "Kim van Lee", "Åsa 東京 שלום", "🧑‍🚀 ❤️ 👍🏽 👩‍❤️‍👩", "a.b_c-d@e"])(
    "is shown as it is: %s",
    (name) => {
      expect(legible(name)).toBe(name);
    },
  );

  test.each([
    ["an override of the direction", "\u202Emik", "⟨U+202E⟩mik"],
    ["a space without width", "ki\u200Bm", "ki⟨U+200B⟩m"],
    ["a joiner that joins nothing", "kim\u200D", "kim⟨U+200D⟩"],
    ["a letter without a shape", "kim\u3164", "kim⟨U+3164⟩"],
    ["a tag", "kim\u{E0041}", "kim⟨U+E0041⟩"],
    ["a soft hyphen", "k\u00ADim", "k⟨U+00AD⟩im"],
    ["a line break", "kim\nlee", "kim⟨U+000A⟩lee"],
    ["a space at an end", " kim ", "⟨U+0020⟩kim⟨U+0020⟩"],
    ["a second space", "kim  lee", "kim⟨U+0020⟩⟨U+0020⟩lee"],
    ["another kind of space", "kim\u00A0lee", "kim⟨U+00A0⟩lee"],
  ])("shows %s by its code", (_, name, shown) => {
    expect(legible(name)).toBe(shown);
  });
});
