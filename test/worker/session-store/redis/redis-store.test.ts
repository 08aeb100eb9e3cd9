import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import { conformanceSuite } from "../conformance/conformance-suite.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

describe("RedisStore", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());
  conformanceSuite(() => harness);
});
