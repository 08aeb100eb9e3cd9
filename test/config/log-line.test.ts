import { describe, expect, it } from "vitest";
import { describeError, oneLine, placeOfError } from "../../config/log-line.ts";

const FORGED = '{"level":30,"msg":"forged"}';

describe("oneLine", () => {
  it.each(["\n", "\r", "\r\n", "\v", "\f", "\u0085", "\u2028", "\u2029", "\u001b[2K", "\b"])(
    "keeps text on one line when it contains %j",
    (breaks) => {
      const line = oneLine(`before${breaks}${FORGED}`);
      expect(line).toMatch(/^before(?:\\u[\da-f]{4})+/);
      expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
    },
  );

  it("does not change other text", () => {
    expect(oneLine("listen EADDRINUSE: 127.0.0.1:7000, 한글 é 🙂")).toBe(
      "listen EADDRINUSE: 127.0.0.1:7000, 한글 é 🙂",
    );
  });
});

describe("an error in the log", () => {
  it("is one line with its name, message and stack", () => {
    const line = describeError(new RangeError(`first\n${FORGED}`));
    expect(line).toContain(`RangeError: first\\u000a${FORGED} at `);
    expect(line).toContain("log-line.test.ts");
    expect(line).not.toContain("\n");
  });

  it.each(["", "plain", `first\n${FORGED}`, `first\n    at forged (${FORGED})`, "\n", "Error", "E"])(
    "with the message %j is described by its name and place only",
    (message) => {
      expect(placeOfError(new Error(message))).toMatch(/^Error at .*log-line\.test\.ts:\d+:\d+\)?$/);
    },
  );

  it("stays on one line without its message when its name or message was changed afterwards", () => {
    const error = new Error("one");
    // It is written when it is first read.
    expect(error.stack).toContain("one");
    error.name = `Odd\n${FORGED}`;
    error.message = "another";
    expect(placeOfError(error)).toBe(`Odd\\u000a${FORGED} at an unknown place`);
  });

  it("is described by its type when it is no Error", () => {
    expect([placeOfError("secret"), placeOfError(undefined), describeError("a\nb")]).toEqual([
      "string",
      "undefined",
      "a\\u000ab",
    ]);
  });
});
