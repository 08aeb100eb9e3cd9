import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { partToUpgrade, spokenProtocol, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";

describe("spokenProtocol", () => {
  it.each(["1.0.0", "1.12.7", "2.0.0", "10.0.0", "9999.0.0"])("takes the version %s", (told) => {
    expect(spokenProtocol(told)).toBe(told);
  });

  it("is 1.0.0 of a part that tells nothing", () => {
    expect(spokenProtocol(undefined)).toBe("1.0.0");
  });

  it.each([
    "",
    "2",
    "2.0",
    "v2.0.0",
    "2.0.0, 2.0.0",
    "2.0.0-rc.1",
    " 2.0.0",
    "2.0.0\n",
    "\u0662.0.0",
    "99999.0.0",
    "-2.0.0",
  ])("is 1.0.0 of a part that tells %j, which is no version", (told) => {
    expect(spokenProtocol(told)).toBe("1.0.0");
  });

  it("is a short version of digits, whatever is told", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (told) => {
        expect(spokenProtocol(told)).toMatch(/^[\d.]{5,14}$/);
      }),
    );
  });
});

describe("partToUpgrade", () => {
  it.each([
    ["1.1.0", "1.1.0", undefined],
    ["1.0.0", "1.1.0", undefined],
    ["1.12.7", "1.1.0", undefined],
    ["1.1.0", "2.0.0", "bridge"],
    ["2.0.0", "10.0.0", "bridge"],
    ["2.0.0", "1.1.0", "edge"],
    ["10.0.0", "2.9.9", "edge"],
  ] as const)("of a bridge that speaks %s and an edge that speaks %s is %s", (bridge, edge, part) => {
    expect(partToUpgrade({ bridge, edge })).toBe(part);
  });

  it("is none for a part that tells nothing, as those before 0.2.0 do", () => {
    const untold = spokenProtocol(undefined);
    expect(partToUpgrade({ bridge: untold, edge: WIRE_PROTOCOL_VERSION })).toBeUndefined();
    expect(partToUpgrade({ bridge: WIRE_PROTOCOL_VERSION, edge: untold })).toBeUndefined();
  });
});
