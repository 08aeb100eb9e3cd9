import { checks, registers } from "./groups/packets.ts";
import type { BenchGroup } from "./harness/bench-case.ts";

/** All groups, in the order in which they are measured. */
export const EVERY_GROUP: readonly BenchGroup[] = [checks, registers];
