import { expect, it } from "vitest";
import { maxOpenFiles, shareOpenFiles } from "../../../tcp-bridge/core/connection-limits.ts";

it("shareOpenFiles lowers the connections of all ports by the same factor if files are too few", () => {
  const demands = [
    { connections: 10_000, filesEach: 1 },
    { connections: 10_000, filesEach: 2 },
  ];
  expect(shareOpenFiles(31_000, 1_000, demands)).toEqual([10_000, 10_000]);
  expect(shareOpenFiles(16_000, 1_000, demands)).toEqual([5_000, 5_000]);
  expect(shareOpenFiles(500, 1_000, demands)).toEqual([1, 1]);
});

it("maxOpenFiles reads on Linux how many files the process may open", () => {
  if (process.platform === "linux") expect(maxOpenFiles()).toBeGreaterThan(100);
  else expect(maxOpenFiles()).toBeUndefined();
});
