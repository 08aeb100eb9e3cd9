import { beforeEach, describe } from "vitest";
import { conformanceSuite } from "../conformance/conformance-suite.ts";
import { createEmbeddedHarness } from "./embedded-harness.ts";

describe("EmbeddedStore", () => {
  const harness = createEmbeddedHarness();
  beforeEach(() => harness.clear());
  conformanceSuite(() => harness);
});
