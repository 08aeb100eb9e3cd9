import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Status } from "../../protocol/status-codes.ts";
import { type Bridge, startBridge } from "../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { mutateBytes } from "../support/packets/cut-and-mutate.ts";
import { PacketBytes } from "../support/packets/packet-bytes.ts";
import { endPacket, ScriptedBridge, statusPacket, watchPacket } from "../support/peers/scripted-bridge.ts";
import { COMPILE_TIMEOUT_MS, compileCpp, SANITIZERS } from "../support/processes/cpp-compiler.ts";
import { Program } from "../support/processes/program.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { seededRandom } from "../support/random.ts";
import { until } from "../support/until.ts";

const KEY = "service-key-of-32-characters-000";
const SEED = Number(process.env["CPP_SEED"] ?? randomInt(2 ** 31));

let folder: string;
/** The client, and one whose sockets do little at a time. */
let programs: { readonly plain: string; readonly faulty: string };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-cpp-client-"));
  programs = { plain: join(folder, "client"), faulty: join(folder, "faulty-client") };
  const object = join(folder, "client.o");
  await compileCpp("g++", ["client/cpp/test/client.cpp"], object, [...SANITIZERS, "-c"]);
  const wrap = "-Wl,--wrap=send,--wrap=recv,--wrap=poll";
  await Promise.all([
    compileCpp("g++", [object], programs.plain, SANITIZERS),
    compileCpp("g++", [object, "client/cpp/test/faulty-sockets.cpp"], programs.faulty, [...SANITIZERS, wrap]),
  ]);
}, COMPILE_TIMEOUT_MS);
afterAll(() => rm(folder, { recursive: true }));

/** An artoria::Client that does what it is told. */
class CppClient {
  readonly program: Program;
  /** How many lines have been looked at. */
  #seen = 0;

  constructor(port: number, options: readonly string[] = [], file = programs.plain) {
    this.program = new Program(file, [String(port), ...options], {}, "pipe");
  }

  tell(command: string): void {
    this.program.child.stdin?.write(`${command}\n`);
  }

  /** The next lines that it prints, `count` of them. */
  async lines(count: number): Promise<string[]> {
    const printed = (): string[] => this.program.stdout.split("\n").slice(this.#seen, -1);
    await until(() => printed().length >= count || !this.program.isRunning);
    if (printed().length < count) throw new Error(`it has ended: ${this.program.output}`);
    const lines = printed().slice(0, count);
    this.#seen += count;
    return lines;
  }

  /** What it prints when it is told this, which are `count` lines. */
  ask(command: string, count = 1): Promise<string[]> {
    this.tell(command);
    return this.lines(count);
  }

  /** Ends it, which must find no fault of memory. */
  async end(): Promise<void> {
    this.program.child.stdin?.end();
    expect({ exitCode: await this.program.ended(), stderr: this.program.stderr }).toEqual({ exitCode: 0, stderr: "" });
  }
}

describe("artoria::Client at a bridge", () => {
  let stack: RunningStack;
  let bridge: Bridge;

  beforeAll(async () => {
    stack = await startStackOn("embedded");
    const variables = { EDGE_URL: stack.edgeUrl, API_KEY: stack.apiKey, BRIDGE_PORT: "0", METRICS_PORT: "0" };
    bridge = await startBridge(
      parseBridgeConfig({ ...variables, BRIDGE_SERVICE_KEYS: KEY }),
      pino({ level: "silent" }),
    );
  });
  afterAll(async () => {
    await bridge?.close();
    await stack?.close();
  });

  test.each([
    ["of a quiet machine", "plain", []],
    ["whose sockets do little at a time and fail two times of three", "faulty", []],
    ["that a signal interrupts every millisecond", "plain", ["signals=1"]],
  ] as const)("makes every request, and is told of ends, over sockets %s", async (name, file, options) => {
    // Sessions of its own.
    const first = 1 + 1_000 * name.length;
    const client = new CppClient(bridge.gameAddress.port, [`key=${KEY}`, "watch=1", ...options], programs[file]);
    expect(await client.ask("connect")).toEqual(["done"]);
    expect(await client.ask(`register ${first} kim`)).toEqual(["Ok"]);
    expect(await client.ask(`register ${first} lee`)).toEqual(["Conflict"]);
    expect(await client.ask(`check ${first}`)).toEqual(["Ok"]);
    expect(await client.ask(`check ${first + 1}`)).toEqual(["NotFound"]);
    expect(await client.ask(`access ${first} room:lobby`)).toEqual(["Ok"]);
    expect(await client.ask(`delete ${first} lee`)).toEqual(["Denied"]);
    for (let sessid = first + 1; sessid < first + 5; sessid++) await client.ask(`register ${sessid} kim`);
    expect(await client.ask(`checkAll ${first} ${first + 299}`)).toEqual(["5 of 300"]);
    const [status, counts] = await client.ask("count", 2);
    expect(status).toBe("Ok");
    expect(counts).toMatch(/^\d+ sessions, \d+ users$/);
    const [, issued = ""] = await client.ask("issue lee", 2);
    const [sessid, token] = issued.split(" ");
    expect(await client.ask(`identify ${token} room:lobby`, 2)).toEqual(["Ok", `${sessid} lee`]);

    expect((await askAsService(stack, "DELETE", `/v1/sessions/${first}`)).status).toBe(204);
    let [ended = "", done] = await client.ask("wait 30000", 2);
    while (ended.startsWith("checkpoint ")) [ended = "", done] = await client.ask("wait 30000", 2);
    expect(ended).toMatch(new RegExp(`^deleted ${first} at \\S+ of kim$`));
    expect(done).toBe("done");
    expect(await client.ask(`check ${first}`)).toEqual(["NotFound"]);

    // What ends while there is no connection is told after the next one, from the position.
    client.tell("disconnect");
    expect(await client.ask(`check ${first}`)).toEqual(["closed (there is no connection)"]);
    expect((await askAsService(stack, "DELETE", `/v1/sessions/${first + 1}`)).status).toBe(204);
    expect(await client.ask("connect")).toEqual(["done"]);
    let [missed = ""] = await client.ask("wait 30000", 2);
    // The next checkpoint may be due.
    while (missed.startsWith("checkpoint ")) [missed = ""] = await client.ask("wait 30000", 2);
    expect(missed).toMatch(new RegExp(`^deleted ${first + 1} at \\S+ of kim$`));
    const position = missed.split(" ")[3] ?? "";
    expect(await client.ask("position")).toEqual([position]);
    await client.end();
  });

  test("is refused with a wrong service key, and without one", async () => {
    const wrong = new CppClient(bridge.gameAddress.port, [`key=${KEY.replace("0", "1")}`]);
    expect(await wrong.ask("connect")).toEqual(["refused (the service key is refused: Denied)"]);
    await wrong.end();
    const none = new CppClient(bridge.gameAddress.port);
    expect(await none.ask("connect")).toEqual(["done"]);
    const [refused] = await none.ask("check 7");
    expect(refused).toMatch(/^(refused \(Denied: .*service key.*\) but connected|closed \(.*\))$/);
    expect((await none.ask("check 7"))[0]).toMatch(/^closed/);
    await none.end();
  });

  test("watches from the log's end, and says that ends are lost, if its position is damaged or unknown", async () => {
    for (const after of ["nonsense", "1-0_0_a", "p".repeat(200)]) {
      const client = new CppClient(bridge.gameAddress.port, [`key=${KEY}`, "watch=2", `after=${after}`]);
      const [reset = "", done] = await client.ask("connect", 2);
      expect(reset).toMatch(/^reset 0 at \S+ of $/);
      expect(done).toBe("done");
      expect(await client.ask("position")).toEqual([reset.split(" ")[3]]);
      await client.end();
    }
  });
});

describe("artoria::Client", () => {
  let bridge: ScriptedBridge;
  let client: CppClient;
  const start = (...options: string[]): void => {
    client = new CppClient(bridge.port, options);
  };

  beforeEach(async () => {
    bridge = await ScriptedBridge.open();
  });
  afterEach(async () => {
    await client.program.kill();
    await bridge.close();
  });

  test("tells of SessionEnded packets between the responses, and before a response that comes in pieces", async () => {
    start("watch=1");
    client.tell("connect");
    const connection = await bridge.connection(0);
    expect(await connection.request(0)).toEqual({ scope: "known", after: null });
    connection.send(watchPacket(Status.Ok, "p0"), endPacket(1, 7, "p1", "kim"));
    expect(await client.lines(1)).toEqual(["done"]);
    client.tell("check 8");
    expect(await connection.request(1)).toEqual({ kind: "check", sessid: 8 });
    connection.send(endPacket(3, -8, "p2"), statusPacket(2, Status.Ok).subarray(0, 3));
    expect(await client.lines(2)).toEqual(["deleted 7 at p1 of kim", "evicted -8 at p2 of "]);
    connection.send(
      statusPacket(2, Status.Ok).subarray(3),
      endPacket(4, 0, "p3"),
      endPacket(0, 0, "p4").subarray(0, 9),
    );
    expect(await client.lines(1)).toEqual(["Ok"]);
    expect(await client.ask("wait 1000", 2)).toEqual(["reset 0 at p3 of ", "done"]);
    expect(await client.ask("wait 20")).toEqual(["done"]);
    connection.send(endPacket(0, 0, "p4").subarray(9));
    expect(await client.ask("wait 30000", 2)).toEqual(["checkpoint 0 at p4 of ", "done"]);
    expect(await client.ask("position")).toEqual(["p4"]);
    await client.end();
  });

  test("goes on after its position when it connects again, and from the log's end if that is lost", async () => {
    start("watch=2", "after=p1");
    client.tell("connect");
    const first = await bridge.connection(0);
    expect(await first.request(0)).toEqual({ scope: "all", after: "p1" });
    first.send(watchPacket(Status.Ok, "p1"), endPacket(2, 7, "p2"));
    expect(await client.lines(1)).toEqual(["done"]);
    expect(await client.ask("wait 30000", 2)).toEqual(["expired 7 at p2 of ", "done"]);
    first.socket.destroy();
    expect(await client.ask("wait 30000")).toEqual(["closed (the bridge closed the connection)"]);
    client.tell("connect");
    const second = await bridge.connection(1);
    expect(await second.request(0)).toEqual({ scope: "all", after: "p2" });
    second.send(watchPacket(Status.NotFound, "p9"));
    expect(await second.request(1)).toEqual({ scope: "all", after: "p9" });
    second.send(watchPacket(Status.Ok, "p9"));
    expect(await client.lines(2)).toEqual(["reset 0 at p9 of ", "done"]);
    await client.end();
  });

  test("shows its service key first, and gives up a connection whose watch is refused", async () => {
    start(`key=${KEY}`, "watch=1");
    client.tell("connect");
    const connection = await bridge.connection(0);
    expect(await connection.request(0)).toEqual({ key: KEY });
    connection.send(statusPacket(19, Status.Ok));
    await connection.request(1);
    connection.send(watchPacket(Status.Unavailable));
    expect(await client.lines(1)).toEqual(["refused (the watch is refused: Unavailable)"]);
    expect(await client.ask("check 7")).toEqual(["closed (there is no connection)"]);
    await client.end();
  });

  test("does not send what is no request, and goes on", async () => {
    start();
    expect(await client.ask("connect")).toEqual(["done"]);
    expect(await client.ask("check 0")).toEqual(["invalid_request (sessid: out_of_range) but connected"]);
    expect(await client.ask("register 7 web:kim")).toEqual(["invalid_request (id: out_of_range) but connected"]);
    expect(await client.ask(`access 7 ${"r".repeat(513)}`)).toEqual([
      "invalid_request (resource: out_of_range) but connected",
    ]);
    expect(await client.ask("checkAll -1 1")).toEqual(["invalid_request (sessid: out_of_range) but connected"]);
    client.tell("count");
    expect(await (await bridge.connection(0)).request(0)).toEqual({ kind: "count" });
    await client.program.kill();
  });

  test("refuses calls from within onEnded", async () => {
    start("watch=1");
    client.tell("connect");
    const connection = await bridge.connection(0);
    connection.send(watchPacket(Status.Ok, "p0"), endPacket(1, 7, "p1"));
    await client.lines(1);
    client.tell("callFromWithin");
    expect(await client.ask("wait 1000", 3)).toEqual(["deleted 7 at p1 of ", "from within: busy", "done"]);
    await client.end();
  });

  test("shows of a bridge's message only what is printable", async () => {
    start();
    await client.ask("connect");
    client.tell("check 7");
    const connection = await bridge.connection(0);
    await connection.request(0);
    connection.send(new PacketBytes().i8(Status.Invalid).string("\x1b]0;title\x07\r\nan é").packet(127));
    expect(await client.lines(1)).toEqual(["refused (Invalid: ?]0;title???an ??) but connected"]);
    await client.end();
  });

  test("fails to connect where nobody listens, and in time where nobody accepts", async () => {
    const unused = createServer().listen(0, "127.0.0.1");
    await until(() => unused.listening);
    const { port } = unused.address() as { port: number };
    await new Promise((resolve) => unused.close(resolve));
    client = new CppClient(port);
    expect(await client.ask("connect")).toEqual([`connect_failed (127.0.0.1:${port}: Connection refused)`]);
    await client.end();

    // A stopped process whose queue is full: the kernel answers no further SYN.
    const script =
      'const s = require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(s.address().port))';
    const stopped = new Program(process.execPath, ["-e", script]);
    const waiting: Socket[] = [];
    try {
      const stoppedPort = Number((await stopped.prints(/^\d+$/m))[0]);
      stopped.signal("SIGSTOP");
      for (let sockets = 0; sockets < 8; sockets++)
        waiting.push(connect(stoppedPort, "127.0.0.1").on("error", () => {}));
      await until(() => waiting.filter((socket) => !socket.connecting).length >= 2);
      client = new CppClient(stoppedPort, ["connectTimeoutMs=300"]);
      expect(await client.ask("connect")).toEqual([`connect_failed (127.0.0.1:${stoppedPort}: no connection in time)`]);
      await client.end();
    } finally {
      for (const socket of waiting) socket.destroy();
      await stopped.kill();
    }
  });

  test("survives a bridge that resets the connection while it sends", async () => {
    start();
    for (let index = 0; index < 5; index++) {
      expect(await client.ask("connect")).toEqual(["done"]);
      (await bridge.connection(index)).socket.resetAndDestroy();
      expect((await client.ask("checkAll 1 5000"))[0]).toMatch(/^closed \(/);
    }
    await client.end();
  });
});

/** A bridge that wants to harm: what it does with a connection, again and again until the connection has ended. */
const HOSTILE: readonly (readonly [name: string, attack: (socket: Socket) => void, expected: RegExp])[] = [
  ["says nothing", () => {}, /^timeout \(no response in time\)$/],
  ["closes at once", (socket) => socket.end(), /^closed/],
  ["truncates the response", (socket) => socket.end(Buffer.from([5, 0, 2])), /^closed/],
  [
    "sends a size of 0",
    (socket) => socket.write(Buffer.alloc(8)),
    /^bad_response \(not a bridge's response: size: size_too_small\)$/,
  ],
  [
    "sends a size of 65535",
    (socket) => socket.write(Buffer.alloc(8, 255)),
    /^bad_response \(not a bridge's response: size: size_too_large\)$/,
  ],
  [
    "responds to something else",
    (socket) => socket.write(statusPacket(4, 0)),
    /^bad_response \(not a bridge's response: type: unexpected_packet\)$/,
  ],
  [
    "sends an unknown status",
    (socket) => socket.write(statusPacket(2, 7)),
    /^bad_response \(not a bridge's response: status: out_of_range\)$/,
  ],
  [
    "sends a broken SessionEnded",
    (socket) => socket.write(endPacket(9, 7, "p")),
    /^bad_response \(not a bridge's response: reason: out_of_range\)$/,
  ],
  [
    "sends a byte now and then",
    (socket) => drip(socket, Buffer.concat([Buffer.from([0, 4, 17, 0]), Buffer.alloc(2_000)])),
    /^timeout/,
  ],
  ["never stops sending SessionEnded", (socket) => flood(socket, Buffer.from(endPacket(1, 7, "p"))), /^timeout/],
  ["never stops sending what is no packet", (socket) => flood(socket, Buffer.alloc(65_536, 65)), /^bad_response/],
];

/** A byte each 20 ms: a deadline for each read would never pass. */
function drip(socket: Socket, bytes: Buffer): void {
  let at = 0;
  const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 20);
  socket.once("close", () => clearInterval(timer));
}

function flood(socket: Socket, bytes: Buffer): void {
  const chunk = Buffer.concat(Array.from({ length: Math.ceil(65_536 / bytes.byteLength) }, () => bytes));
  const push = (): void => {
    if (socket.writable) socket.write(chunk, () => setImmediate(push));
  };
  push();
}

describe("artoria::Client at a hostile bridge", () => {
  test.each(HOSTILE)(
    "that %s gives up in time, closes the connection, and can connect again",
    async (_, attack, expected) => {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => attack(socket));
      }).listen(0, "127.0.0.1");
      await until(() => server.listening);
      const { port } = server.address() as { port: number };
      const client = new CppClient(port, ["responseTimeoutMs=400"]);
      for (let attempt = 0; attempt < 2; attempt++) {
        expect(await client.ask("connect")).toEqual(["done"]);
        expect((await client.ask("check 7"))[0]).toMatch(expected);
        expect(await client.ask("check 7")).toEqual(["closed (there is no connection)"]);
      }
      await client.end();
      server.close();
    },
  );

  test("that never stops telling of ends is heard, and leaves the server time for its game", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.write(watchPacket(Status.Ok, "p"));
        flood(socket, Buffer.from(endPacket(1, 7, "p")));
      });
    }).listen(0, "127.0.0.1");
    await until(() => server.listening);
    const { port } = server.address() as { port: number };
    const client = new CppClient(port, ["watch=2"]);
    client.tell("connect");
    for (let calls = 0; calls < 20; calls++) client.tell("wait 0");
    await until(() => (client.program.stdout.match(/^done$/gm)?.length ?? 0) === 21);
    await client.end();
    server.close();
  });

  test(`that damages its responses is never believed too much (CPP_SEED=${SEED})`, async () => {
    const random = seededRandom(SEED);
    const whole = [
      watchPacket(Status.Ok, "p1"),
      statusPacket(2, Status.Ok),
      endPacket(1, 7, "p2", "kim"),
      statusPacket(2, Status.NotFound),
    ];
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => socket.write(mutateBytes(Buffer.concat(whole), random)));
    }).listen(0, "127.0.0.1");
    await until(() => server.listening);
    const { port } = server.address() as { port: number };
    const client = new CppClient(port, ["watch=1", "responseTimeoutMs=60"]);
    const rounds = 200;
    for (let round = 0; round < rounds; round++)
      client.program.child.stdin?.write("connect\ncheck 7\ncheckAll 1 5\nwait 1\n");
    client.tell("disconnect\nposition\ncheck 3");
    await until(
      () =>
        client.program.stdout.endsWith("closed (there is no connection)\n") && client.program.stdout.includes("\np"),
      120_000,
    );
    await until(() => !client.program.isRunning || client.program.stdout.split("\n").length > rounds * 4);
    const kinds = new Set(client.program.stdout.split("\n").map((line) => line.split(" ")[0] ?? ""));
    expect([...kinds]).toEqual(expect.arrayContaining(["Ok", "bad_response", "deleted"]));
    await client.end();
    server.close();
  });
});
