import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { protocolFit, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";

describe("protocolFit", () => {
  it.each([
    ["the same version", "1.1.0", "fits"],
    ["an older minor version", "1.0.0", "fits"],
    ["a newer minor version and patch", "1.12.7", "fits"],
    ["a newer major version", "2.0.0", "newer"],
    ["a major version of two digits", "10.0.0", "newer"],
    ["an older major version", "0.9.9", "older"],
    ["no version, as a part tells that is older than versions", undefined, "fits"],
  ])("compares with %s", (_, told, fit) => {
    expect(protocolFit(told, "1.1.0")).toBe(fit);
  });

  it("takes a part that tells nothing for one that speaks 1.0.0, which is older than 2.0.0", () => {
    expect(protocolFit(undefined, "2.0.0")).toBe("older");
    expect(protocolFit("", "2.0.0")).toBe("older");
  });

  it.each(["2", "2.0", "v2.0.0", "2.0.0, 2.0.0", "2.0.0-rc.1", " 2.0.0", "2.0.0\n", "٢.0.0", "99999.0.0", "-2.0.0"])(
    "takes %j for nothing told",
    (told) => {
      expect(protocolFit(told, "1.1.0")).toBe("fits");
    },
  );

  it("takes whatever is told: it never throws, and finds each version to fit with itself", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (told) => {
        expect(["fits", "newer", "older"]).toContain(protocolFit(told));
        expect(protocolFit(told, told)).toBe("fits");
      }),
    );
    expect(protocolFit(WIRE_PROTOCOL_VERSION)).toBe("fits");
  });
});
