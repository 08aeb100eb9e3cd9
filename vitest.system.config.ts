import { defineConfig } from "vitest/config";

/** Time enough for a failover on a small, shared machine. */
const TIMEOUTS = { testTimeout: 180_000, hookTimeout: 120_000 };

/** Tests with bounds on how soon an answer comes: few run at once. */
const TIMED = [
  "test/system/{redis-failover,redis-histories,rolling-update,sentinel-distance,session-failover}.test.ts",
];

/** What needs more programs than `npm test`: Redis failovers, HAProxy, nginx, Caddy, Prometheus, Chromium. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "system",
          include: ["test/system/**/*.test.ts"],
          exclude: TIMED,
          isolate: false,
          // Two of three wait most of the time.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
          ...TIMEOUTS,
        },
      },
      {
        test: {
          name: "failover",
          isolate: false,
          include: TIMED,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          ...TIMEOUTS,
        },
      },
    ],
  },
});
