// Plain JavaScript, so that a Node that is too old for the rest can say so.
const MIN_NODE = [22, 18];
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < MIN_NODE[0] || (major === MIN_NODE[0] && minor < MIN_NODE[1])) {
  process.stderr.write(
    `Artoria needs Node ${MIN_NODE.join(".")} or later, this is ${process.versions.node}: run it by "npm start" after "npm ci", which brings its own\n`,
  );
  process.exit(1);
}
// Node keeps compiled modules there, which makes the next start half a second shorter. Node 20 has no such function.
const { enableCompileCache } = await import("node:module");
const { fileURLToPath } = await import("node:url");
enableCompileCache(fileURLToPath(new URL("../node_modules/.cache/artoria", import.meta.url)));
await import("./start.ts");
