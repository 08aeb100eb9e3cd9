import { coldStart } from "./groups/cold-start.ts";
import { count } from "./groups/count.ts";
import { floor, httpChecks } from "./groups/http-checks.ts";
import { idleMemory } from "./groups/idle-memory.ts";
import { idlePlayers } from "./groups/idle-players.ts";
import { checks, registers } from "./groups/packets.ts";
import { redisSize } from "./groups/redis-size.ts";
import { resume } from "./groups/resume.ts";
import { bridgeRooms, rooms } from "./groups/rooms.ts";
import { soak } from "./groups/soak.ts";
import type { BenchGroup } from "./harness/bench-case.ts";

/** All groups, in the order in which they are measured. */
export const EVERY_GROUP: readonly BenchGroup[] = [
  checks,
  httpChecks,
  floor,
  registers,
  count,
  rooms,
  bridgeRooms,
  resume,
  redisSize,
  coldStart,
  idleMemory,
  idlePlayers,
  soak,
];
