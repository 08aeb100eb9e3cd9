import { defineConfig } from "vitest/config";
export default defineConfig({ test: { name: "cpu", isolate: false, maxWorkers: 2, setupFiles: ["/tmp/tests/cpu-setup.ts"], include: ["test/{protocol,tcp-bridge,client,redis-rest,dev,docs,bench,config,e2e}/**/*.test.ts", "test/security/*.test.ts"], testTimeout: 60000, hookTimeout: 60000 } });
