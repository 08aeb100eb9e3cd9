import { expect, it } from "vitest";
import { acceptedAgeSeconds } from "../../../worker/routes/check.ts";

it.each([
  [null, 0],
  ["", 0],
  ["max-age=0", 0],
  ["max-age=3", 3],
  ["Max-Age=3", 3],
  ['max-age="3"', 3],
  ["private, max-age=5", 5],
  ["max-age=3600", 5],
  ["max-age=9999999999", 5],
  ["max-age=4, max-age=2", 2],
  ["max-age=4, no-cache", 0],
  ["no-store,max-age=4", 0],
  ["max-age=-1", 0],
  ["max-age=1.5", 0],
  ["max-age=four", 0],
  ["max-age", 0],
  ["x-max-age=4", 0],
])("Cache-Control: %s accepts a response of %i seconds", (cacheControl, seconds) => {
  expect(acceptedAgeSeconds(cacheControl)).toBe(seconds);
});
