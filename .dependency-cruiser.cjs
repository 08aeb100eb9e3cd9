// The house's one-way imports (docs/architecture.md): protocol <- worker, tcp-bridge, client, redis-rest; all <- dev <- test, bench.
const only = (folder, allowed) => ({
  name: `${folder}-imports`,
  comment: `${folder}/ may import only ${allowed.length > 0 ? `itself and ${allowed.join(", ")}` : "itself"}`,
  severity: "error",
  from: { path: `^${folder}/` },
  to: {
    path: "^(protocol|worker|tcp-bridge|client|redis-rest|dev|test|bench)/",
    pathNot: `^(${[folder, ...allowed].join("|")})/`,
  },
});

module.exports = {
  forbidden: [
    only("protocol", []),
    only("worker", ["protocol"]),
    only("tcp-bridge", ["protocol"]),
    only("client", ["protocol"]),
    only("redis-rest", []),
    only("dev", ["protocol", "worker", "tcp-bridge", "client", "redis-rest"]),
    {
      name: "protocol-has-no-packages",
      comment: "protocol/ imports nothing outside itself",
      severity: "error",
      from: { path: "^protocol/" },
      to: { dependencyTypes: ["npm", "npm-dev", "core"] },
    },
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
  ],
  options: {
    tsPreCompilationDeps: true,
    exclude: { path: "node_modules" },
    enhancedResolveOptions: { extensions: [".ts", ".tsx"] },
  },
};
