import { execFile } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Connector } from "../../client/connector.ts";
import { ServiceClient } from "../../client/service-client.ts";
import { buildClient } from "../../dev/build-client.ts";
import { Consumer } from "../support/package/consumer.ts";
import { type PrintedExample, printedExamples } from "../support/package/printed-examples.ts";
import { launchChromium } from "../support/processes/chromium.ts";
import { Program } from "../support/processes/program.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";

/** What `engines` of client/package.json states, for a machine whose own Node is another one. */
const OLDEST_NODE = "20.0.0";
/** Where a distribution puts its own Node; it may be the oldest. */
const SYSTEM_NODE = "/usr/bin/node";
/** What client/README.md states. */
const OLDEST_TYPESCRIPT = "5.7.3";
const MAX_BROWSER_BYTES = 10 * 1024;

let tarball: string;
let consumer: Consumer;
let stack: RunningStack;
let oldestNode: string;
let examples: ReadonlyMap<string, PrintedExample>;

beforeAll(async () => {
  tarball = await buildClient();
  const nodePackage = `node-${process.platform}-${process.arch}`;
  const isOldest = (await versionOf(SYSTEM_NODE)).startsWith("v20.");
  [consumer, stack] = await Promise.all([
    Consumer.create([
      tarball,
      `typescript@${OLDEST_TYPESCRIPT}`,
      ...(isOldest ? [] : [`${nodePackage}@${OLDEST_NODE}`]),
    ]),
    startStackOn("embedded"),
  ]);
  oldestNode = isOldest ? SYSTEM_NODE : consumer.path("node_modules", nodePackage, "bin/node");
  examples = new Map((await printedExamples()).map((example) => [example.name, example]));
}, 300_000);
afterAll(async () => {
  await stack?.close();
  await consumer?.remove();
});

async function versionOf(program: string): Promise<string> {
  return await promisify(execFile)(program, ["--version"]).then(
    ({ stdout }) => stdout,
    () => "",
  );
}

/** The installed package's files. */
async function packageFiles(): Promise<string[]> {
  const root = consumer.path("node_modules/artoria-client");
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1));
}

describe("the package's files", () => {
  test("are what the entry points reach, with a licence and a README: no test, no page, no program of the repository", async () => {
    const files = await packageFiles();
    const loose = files.filter((file) => !/^(?:lib|src)\//.test(file));
    expect(loose.sort()).toEqual(["LICENSE", "README.md", "package.json"]);
    const modules = files.filter((file) => file.startsWith("src/")).map((file) => file.slice(4, -3));
    expect(modules.filter((file) => !/^(?:client|protocol|config)\//.test(file))).toEqual([]);
    expect(modules.filter((file) => /console|page|room\/|\.test$/.test(file))).toEqual([]);
    const emitted = modules.flatMap((file) =>
      [".js", ".js.map", ".d.ts", ".d.ts.map"].map((end) => `lib/${file}${end}`),
    );
    expect(files.filter((file) => file.startsWith("lib/")).sort()).toEqual(emitted.sort());
  });

  test("have maps that lead to sources in the package", async () => {
    const root = consumer.path("node_modules/artoria-client");
    const maps = (await packageFiles()).filter((file) => file.endsWith(".map"));
    for (const map of maps) {
      const { sources, sourceRoot = "" } = JSON.parse(await readFile(join(root, map), "utf8"));
      for (const source of sources) {
        const path = join(root, map, "..", sourceRoot, source);
        expect(path.startsWith(join(root, "src/")), map).toBe(true);
        expect((await stat(path)).isFile(), map).toBe(true);
      }
    }
    expect(maps.length).toBeGreaterThan(50);
  });

  test("contain no key, no address and no path of the machine that built them", async () => {
    const root = consumer.path("node_modules/artoria-client");
    for (const file of await packageFiles()) {
      const text = await readFile(join(root, file), "utf8");
      expect(text.includes(process.cwd()) || /BEGIN [A-Z ]*PRIVATE KEY/.test(text), file).toBe(false);
    }
  });

  test("pass publint and arethetypeswrong", async () => {
    await consumer.tool(
      "publint/src/cli.js",
      "run",
      consumer.path("node_modules/artoria-client"),
      "--strict",
      "--pack",
      "false",
    );
    await consumer.tool("@arethetypeswrong/cli/dist/index.js", tarball, "--profile", "esm-only");
  });
});

/** The strictest that a project can be. */
const STRICT = {
  strict: true,
  noEmit: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  target: "ES2022",
};

const NODE_CONSUMER = `
import { AccountClient, ConnectionError, Connector, ReliableConnection, ServiceClient, SessionWatch, Status, WebhookReceiver, tlsTransport, webSocketTransport, type ConnectorOptions, type WatchEvent } from "artoria-client";
import { PacketDecoder, MAX_SERVICE_PACKET_BYTES } from "artoria-client/protocol";
const options: ConnectorOptions = { host: "127.0.0.1", port: 7000 };
const client: ServiceClient = await ServiceClient.open({ connector: new Connector(options) });
const response = await client.request({ kind: "count" });
const sessions: number = response.sessions;
// @ts-expect-error a request has a sessid
void client.request({ kind: "check" });
const tell = (event: WatchEvent): string => event.position;
void [AccountClient, ConnectionError, ReliableConnection, SessionWatch, Status, WebhookReceiver, tlsTransport, webSocketTransport, PacketDecoder, MAX_SERVICE_PACKET_BYTES, sessions, tell];
`;
const BROWSER_CONSUMER = `
import { ReliableConnection, webSocketTransport, type ConnectionEvent } from "artoria-client/browser";
const connection = new ReliableConnection({ transport: webSocketTransport(), room: "lobby" });
connection.on("state", ({ state }) => document.body.append(state));
export const kinds = (event: ConnectionEvent): string => event.kind;
`;
const PROTOCOL_CONSUMER = `
import { ByteWriter, decodeServiceRequest, writeServiceRequest } from "artoria-client/protocol";
const writer = new ByteWriter();
writeServiceRequest(writer, { kind: "check", sessid: 7 });
export const request = decodeServiceRequest(writer.finish());
`;

describe("a TypeScript consumer", () => {
  const RESOLUTIONS = [
    { module: "ESNext", moduleResolution: "bundler" },
    { module: "Node16", moduleResolution: "node16" },
    { module: "NodeNext", moduleResolution: "nodenext" },
  ];
  const CONSUMERS = [
    { file: "node.ts", text: NODE_CONSUMER, types: ["node"], lib: ["ES2022"] },
    // The entry point brings Node's types along.
    { file: "node-alone.ts", text: NODE_CONSUMER, types: [], lib: ["ES2022"] },
    { file: "page.ts", text: BROWSER_CONSUMER, types: [], lib: ["ES2022", "DOM"] },
    { file: "packets.ts", text: PROTOCOL_CONSUMER, types: [], lib: ["ES2022"] },
  ];
  const OLDEST_COMPILER = "node_modules/typescript/bin/tsc";

  async function writeProject(
    { file, text, types, lib }: (typeof CONSUMERS)[number],
    resolution: object,
  ): Promise<string> {
    const project = `tsconfig.${file}.json`;
    const compilerOptions = { ...STRICT, ...resolution, types, lib };
    await consumer.write({ [file]: text, [project]: JSON.stringify({ compilerOptions, files: [file] }) });
    return project;
  }

  test.each(RESOLUTIONS)("type-checks with the strictest options under $moduleResolution", async (resolution) => {
    for (const each of CONSUMERS) await consumer.tool("typescript/bin/tsc", "-p", await writeProject(each, resolution));
  });

  test("type-checks with the oldest TypeScript", async () => {
    for (const each of CONSUMERS.slice(1, 3)) {
      const project = await writeProject(each, { module: "Node16", moduleResolution: "node16" });
      await consumer.run(process.execPath, [consumer.path(OLDEST_COMPILER), "-p", project]);
    }
  });

  test("is refused what no entry point exports", async () => {
    const deep = "artoria-client/lib/client/connector.js";
    await consumer.write({
      "deep.ts": `import { Connector } from "${deep}";\nvoid Connector;\n`,
      "tsconfig.deep.json": JSON.stringify({
        compilerOptions: { ...STRICT, module: "NodeNext", types: [] },
        files: ["deep.ts"],
      }),
      "deep.js": `import("${deep}").catch(({ code }) => console.log(code));\n`,
    });
    await expect(consumer.tool("typescript/bin/tsc", "-p", "tsconfig.deep.json")).rejects.toThrow("TS2307");
    expect(await consumer.run(oldestNode, ["deep.js"])).toBe("ERR_PACKAGE_PATH_NOT_EXPORTED\n");
  });
});

/** The source in the consumer's folder, with all that it uses, as esbuild makes it. For browsers, a module of Node is an error. */
async function bundle(source: string, options: esbuild.BuildOptions = {}): Promise<string> {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: source, resolveDir: consumer.folder, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "browser",
    ...options,
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

/** Leads the ports that the pages print to those of the stack under test: the examples run as they are printed. */
const PORTS = `
import net from "node:net";
const ports = new Map(JSON.parse(process.env.PORTS));
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args;
  if (ports.has(Number(options?.port))) options.port = ports.get(Number(options.port));
  return connect.apply(this, args);
};
`;

function portsOfStack(): { PORTS: string } {
  const ports = [
    [7000, stack.gameAddress.port],
    [7001, stack.playerAddress.port],
    [8787, Number(new URL(stack.edgeUrl).port)],
  ];
  return { PORTS: JSON.stringify(ports) };
}

async function issueToken(user: string): Promise<string> {
  const { token } = (await (await askAsService(stack, "POST", "/v1/sessions", { user })).json()) as { token: string };
  return token;
}

describe("the examples that the pages print", () => {
  /** How each is run, and what it prints. A new one needs a line here. */
  const PRINTED: Readonly<
    Record<string, { readonly prints: RegExp; readonly args?: () => Promise<string[]>; readonly endsSession?: number }>
  > = {
    "README.md, From TypeScript": {
      prints: /^kim may enter\n[\s\S]*^session 7 ended: deleted$/m,
      endsSession: 7,
    },
    "README.md, Rooms": { prints: /^\d+ hello$/m, args: async () => [stack.playerFingerprint] },
    "client/README.md, Checks and watches": {
      prints: /^the token is that of lee\n[\s\S]*^ended 8 deleted$/m,
      endsSession: 8,
    },
    "client/README.md, Rooms over WebSocket": { prints: /^\d+ hello$/m, args: async () => [await issueToken("pat")] },
  };
  const IN_BROWSER = "client/README.md, Browsers";
  /** Code of the worker, and a receiver of webhooks that needs nothing of Artoria. */
  const OF_OTHERS = new Set(["docs/rooms.md, A room of your own", "docs/webhooks.md, Receiving"]);

  test("are known here, and import the package", () => {
    const ofPackage = [...examples.values()].filter(({ name }) => !OF_OTHERS.has(name));
    expect(ofPackage.map(({ name }) => name).sort()).toEqual([...Object.keys(PRINTED), IN_BROWSER].sort());
    for (const { name, code } of ofPackage) expect(code, name).toMatch(/ from "artoria-client(?:\/browser)?";/);
  });

  test.each(Object.entries(PRINTED))(
    "%s: type-checks and runs as printed, on the oldest Node and this one",
    async (name, { prints, args, endsSession }) => {
      const { code = "" } = examples.get(name) ?? {};
      const base = name.replace(/\W+/g, "-");
      await consumer.write({
        "ports.mjs": PORTS,
        [`${base}.ts`]: code,
        [`tsconfig.${base}.json`]: JSON.stringify({
          compilerOptions: { ...STRICT, noEmit: false, outDir: "compiled", module: "NodeNext", types: ["node"] },
          files: [`${base}.ts`],
        }),
      });
      await consumer.tool("typescript/bin/tsc", "-p", `tsconfig.${base}.json`);
      for (const [node, file] of [
        [oldestNode, `compiled/${base}.js`],
        [process.execPath, `${base}.ts`],
      ] as const) {
        const preload = ["--import", `file://${consumer.path("ports.mjs")}`];
        const program = new Program(
          node,
          [...preload, consumer.path(file), ...((await args?.()) ?? [])],
          portsOfStack(),
        );
        try {
          await endUntilTold(program, prints, endsSession);
        } finally {
          await program.kill();
        }
      }
    },
  );

  /** Registers and ends the session, as often as it takes: a watch tells what ends after its start. */
  async function endUntilTold(program: Program, prints: RegExp, sessid: number | undefined): Promise<void> {
    if (sessid === undefined) {
      await program.prints(prints);
      return;
    }
    // By then its own requests are done.
    await program.prints(/\n/);
    const { host, port } = stack.gameAddress;
    const client = await ServiceClient.open({ connector: new Connector({ host, port }) });
    try {
      await until(async () => {
        if (prints.test(program.stdout) || !program.isRunning) return true;
        await client.request({ kind: "register", sessid, user: "kim", ip: null });
        await client.request({ kind: "delete", sessid, user: "kim" });
        return false;
      });
    } finally {
      client.close();
    }
    expect(program.output).toMatch(prints);
  }

  test(`${IN_BROWSER}: type-checks, and runs in Chromium as printed, bundled`, async () => {
    const { code = "" } = examples.get(IN_BROWSER) ?? {};
    await consumer.write({
      "browser-example.ts": code,
      "tsconfig.browser-example.json": JSON.stringify({
        compilerOptions: {
          ...STRICT,
          module: "ESNext",
          moduleResolution: "bundler",
          types: [],
          lib: ["ES2022", "DOM"],
        },
        files: ["browser-example.ts"],
      }),
    });
    await consumer.tool("typescript/bin/tsc", "-p", "tsconfig.browser-example.json");
    const script = await bundle(code);
    const browser: Browser = await launchChromium();
    try {
      // On a page of the edge itself, whose policy allows no script but its own.
      const page = await browser.newPage({ bypassCSP: true });
      await page.goto(`${stack.edgeUrl}/healthz#token=${await issueToken("sam")}`);
      await page.addScriptTag({ type: "module", content: script });
      await until(async () => /\d+: hello/.test((await page.locator("body").textContent()) ?? ""));
    } finally {
      await browser.close();
    }
  });
});

describe("a bundle", () => {
  test("of all of ./browser needs no module of Node, and keeps the size that the README states", async () => {
    const code = await bundle('export * from "artoria-client/browser";', { minify: true });
    expect(code).not.toMatch(/node:|require\(|process\./);
    expect(gzipSync(code, { level: 9 }).byteLength).toBeLessThan(MAX_BROWSER_BYTES);
    const readme = await readFile(consumer.path("node_modules/artoria-client/README.md"), "utf8");
    expect(readme).toContain(`at most ${MAX_BROWSER_BYTES / 1024} KB gzipped`);
  });

  test("has only what is used of the package", async () => {
    const status = await bundle('import { Status } from "artoria-client/protocol"; console.log(Status.Ok);', {
      minify: true,
    });
    expect(status.length).toBeLessThan(300);
    const all = 'import { parseToken } from "artoria-client"; console.log(parseToken("x"));';
    const token = await bundle(all, { minify: true, platform: "node" });
    expect(token.length).toBeLessThan(1_000);
  });
});

describe("a consumer in JavaScript", () => {
  test("in CommonJS imports it on the oldest Node, and requires it on this one", async () => {
    const dynamic = `import("artoria-client").then(({ Status }) => console.log(Status.Ok));`;
    const required = `console.log(require("artoria-client").Status.Ok, require("artoria-client/protocol").Status.Ok);`;
    await consumer.write({ "dynamic.cjs": dynamic, "required.cjs": required });
    expect(await consumer.run(oldestNode, ["dynamic.cjs"])).toBe("0\n");
    expect(await consumer.run(process.execPath, ["--no-warnings", "required.cjs"])).toBe("0 0\n");
  });

  test("with two copies of the package uses parts of both together", async () => {
    await consumer.npm("install", "--no-audit", "--no-fund", "--prefer-offline", `artoria-copy@file:${tarball}`);
    await consumer.write({
      "two-copies.mjs": `
import { Connector, tlsTransport } from "artoria-client";
import { ReliableConnection, ServiceClient, Status } from "artoria-copy";
if ((await import("artoria-client")).Connector === (await import("artoria-copy")).Connector) throw new Error("one copy");
const [port, playerPort, fingerprint] = process.argv.slice(2);
const client = await ServiceClient.open({ connector: new Connector({ host: "127.0.0.1", port: Number(port) }) });
const { status, token } = await client.request({ kind: "issue", user: "two", ip: null });
client.close();
const transport = tlsTransport({ host: "127.0.0.1", port: Number(playerPort), token, trust: { fingerprint } });
const connection = new ReliableConnection({ transport, room: "two" });
connection.connect();
connection.send(new TextEncoder().encode("hello"));
for await (const { body } of connection) {
  console.log(status === Status.Ok, new TextDecoder().decode(body));
  break;
}
connection.disconnect();
`,
    });
    const { gameAddress, playerAddress, playerFingerprint } = stack;
    const args = [String(gameAddress.port), String(playerAddress.port), playerFingerprint];
    expect(await consumer.run(oldestNode, ["two-copies.mjs", ...args])).toBe("true hello\n");
  });
});

describe("the command artoria of the package", () => {
  test("tells its version, and checks a session through a bridge", async () => {
    const { version } = JSON.parse(await readFile(consumer.path("node_modules/artoria-client/package.json"), "utf8"));
    expect(await consumer.npx(["artoria", "--version"])).toContain(version);
    const bridge = { BRIDGE_PORT: String(stack.gameAddress.port) };
    expect(await consumer.npx(["artoria", "register", "7", "--user", "kim"], bridge)).toBe("Ok\n");
    expect(await consumer.npx(["artoria", "check", "7"], bridge)).toBe("Ok\n");
    const main = consumer.path("node_modules/artoria-client/lib/client/command/main.js");
    expect(await consumer.run(oldestNode, [main, "check", "7"], bridge)).toBe("Ok\n");
  });
});
