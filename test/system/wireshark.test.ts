import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { byteByByte, mutateBytes } from "../support/packets/cut-and-mutate.ts";
import { fromHex, PacketBytes } from "../support/packets/packet-bytes.ts";
import { tcpCapture } from "../support/packets/pcap.ts";
import { ExamplePlayer } from "../support/peers/example-player.ts";
import { COMPILE_TIMEOUT_MS, compileCpp } from "../support/processes/cpp-compiler.ts";
import { Program } from "../support/processes/program.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { seededRandom } from "../support/random.ts";
import { until } from "../support/until.ts";

const SCRIPT = fileURLToPath(new URL("../../deploy/wireshark/artoria.lua", import.meta.url));
const KEY = "service-key-of-32-characters-000";
const SEED = Number(process.env["CPP_SEED"] ?? randomInt(2 ** 31));

interface Vector {
  readonly packet: string;
  readonly type: number;
  readonly hex: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

const vectorsOf = (dialect: string): { packets: Vector[]; broken?: Vector[] } =>
  JSON.parse(readFileSync(new URL(`../vectors/${dialect}-packets.json`, import.meta.url), "utf8"));
const service = vectorsOf("service");
const player = vectorsOf("player");

let folder: string;
let captures = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-wireshark-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What tshark says of a capture, with the dissector and nothing of its user's own settings. */
async function tshark(capture: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder };
  const own = ["-X", `lua_script:${SCRIPT}`, "-r", capture, ...args];
  const { stdout, stderr } = await promisify(execFile)("tshark", own, { env, maxBuffer: 2 ** 28 });
  // As root it says that this could be dangerous.
  expect(stderr.replace(/^Running as user .*\n/, "").trim()).toBe("");
  expect(stdout).not.toMatch(/Lua Error/i);
  return stdout;
}

/** A capture of one connection, whose client sends these chunks. */
const captureOf = (port: number, chunks: readonly Uint8Array[]): Promise<string> => captureOfEach(port, [chunks]);

/** A capture of a connection for each of these. */
async function captureOfEach(port: number, clients: readonly (readonly Uint8Array[])[]): Promise<string> {
  const file = join(folder, `${++captures}.pcap`);
  const connections = clients.map((chunks) => chunks.map((bytes) => ({ fromClient: true, bytes })));
  await writeFile(file, tcpCapture(port, connections));
  return file;
}

/** The values of some fields, of all packets in a capture, in order. */
async function fieldsOf(capture: string, fields: readonly string[], ...args: readonly string[]): Promise<string[][]> {
  const options = fields.flatMap((field) => ["-e", field]);
  const text = await tshark(
    capture,
    "-Y",
    "artoria",
    "-T",
    "fields",
    "-E",
    "separator=;",
    "-E",
    "aggregator=,",
    ...options,
    ...args,
  );
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(";"));
  return fields.map((_, index) =>
    lines.flatMap((line) => line[index]?.split(",") ?? []).filter((value) => value !== ""),
  );
}

const types = (vectors: readonly Vector[]): string[] => vectors.map(({ type }) => String(type));
const valuesOf = (vectors: readonly Vector[], name: string): string[] =>
  vectors.flatMap(({ fields }) => (fields[name] === undefined || fields[name] === "" ? [] : [String(fields[name])]));

describe.each([
  ["game servers", 7000, service.packets],
  ["players", 7001, player.packets],
] as const)("the dissector of packets of %s", (_, port, vectors) => {
  const packets = vectors.map(({ hex }) => fromHex(hex));
  const stream = Buffer.concat(packets);
  const chunksOf = (size: number): Uint8Array[] =>
    Array.from({ length: Math.ceil(stream.byteLength / size) }, (_, index) =>
      stream.subarray(index * size, (index + 1) * size),
    );

  test.each([
    ["whole packets", packets],
    ["all of them at once", [stream]],
    ["pieces of 37 bytes", chunksOf(37)],
    ["single bytes", byteByByte(stream)],
  ])("finds every packet in %s, with the fields of the vectors", async (_, chunks) => {
    const capture = await captureOf(port, chunks);
    const names = [
      "artoria.type",
      "artoria.sessid",
      "artoria.token",
      "artoria.member",
      "artoria.nonce",
      "artoria.malformed",
    ];
    const [found, sessids, tokens, members, nonces, malformed] = await fieldsOf(capture, names);
    expect(found).toEqual(types(vectors));
    expect(sessids).toEqual(valuesOf(vectors, "sessid"));
    expect(tokens).toEqual(valuesOf(vectors, "token"));
    expect(members).toEqual(valuesOf(vectors, "member"));
    expect(nonces).toEqual(valuesOf(vectors, "nonce"));
    expect(malformed).toEqual([]);
  });

  test("filters by field, and recognises the packets on any port", async () => {
    const capture = await captureOf(34_567, packets);
    expect((await fieldsOf(capture, ["artoria.type"]))[0]).toEqual(types(vectors));
    const first = vectors[0]?.type ?? 0;
    const filtered = await tshark(capture, "-Y", `artoria.type == ${first}`, "-T", "fields", "-e", "artoria.type");
    expect(filtered.trim().split("\n")).toEqual(types(vectors.filter(({ type }) => type === first)));
  });

  test("shows no key, no token and no message of a player in the summary column", async () => {
    const text = await tshark(await captureOf(port, packets));
    for (const { packet, fields } of vectors) {
      expect(text).toContain(packet);
      if (fields["key"] !== undefined) expect(text).not.toContain(fields["key"]);
    }
    for (const token of valuesOf(vectors, "token")) {
      expect(text).not.toContain(token.slice(8));
      expect(text).not.toContain(Buffer.from(token, "hex").toString("base64url"));
    }
    expect(text).not.toContain("hello");
  });

  test(`runs without a Lua error over damaged packets (CPP_SEED=${SEED})`, async () => {
    const random = seededRandom(SEED);
    const damaged = Array.from({ length: 3_000 }, () => {
      const bytes = mutateBytes(packets[random.integer(0, packets.length - 1)] as Uint8Array, random);
      // Nine of ten have their true size, or the rest of the stream would be lost at once.
      if (bytes.byteLength > 3 && random.chance(0.9)) bytes.set([bytes.byteLength & 255, bytes.byteLength >> 8]);
      return bytes;
    });
    // Each in a connection of its own, so that none hides another; and as one stream, in pieces.
    const alone = await captureOfEach(
      port,
      damaged.map((bytes) => [bytes]),
    );
    expect(await tshark(alone, "-V")).toContain("Malformed: payload");
    const pieces = damaged.flatMap((bytes) => [bytes.subarray(0, 3), bytes.subarray(3)]);
    const text = await tshark(await captureOf(port, pieces), "-V");
    expect(text).toContain("Malformed");
  });
});

describe("the dissector", () => {
  test("names the field of every broken vector as an expert info", async () => {
    const capture = await captureOfEach(
      7000,
      (service.broken ?? []).map(({ hex }) => [fromHex(hex)]),
    );
    const text = await tshark(capture, "-Y", "artoria", "-T", "fields", "-e", "_ws.expert.message");
    const named = text
      .split("\n")
      .slice(0, -1)
      .map((line) => /Malformed: (\w+): /.exec(line)?.[1] ?? "none");
    // What is broken about the others is only who sends them.
    expect(named).toEqual([
      ...["size", "size", "type", "sessid", "payload", "sessid", "id", "id", "id", "id", "id"],
      ...["resource", "resource", "resource", "resource", "resource", "none"],
      ...["scope", "scope", "after", "after", "after", "after", "payload", "after", "none", "none"],
    ]);
  });

  test("survives a capture that has the beginning of each frame only", async () => {
    const capture = await captureOf(
      7000,
      service.packets.map(({ hex }) => fromHex(hex)),
    );
    for (const bytes of [41, 43, 45, 50, 60]) {
      const short = join(folder, `short-${bytes}.pcap`);
      await promisify(execFile)("editcap", ["-s", String(bytes), capture, short]);
      await tshark(short, "-V");
    }
  });
});

describe("the dissector, on a capture of the example game server", () => {
  let stack: RunningStack;
  let capture: string;
  let secrets: string;
  let ports: string;

  beforeAll(async () => {
    const program = join(folder, "game-server");
    await compileCpp("g++", ["client/cpp/example/game-server.cpp"], program);
    stack = await startStackOn("embedded");
    capture = join(folder, "example.pcapng");
    secrets = join(folder, "tls-keys.log");
    const { gameAddress, playerAddress } = stack;
    ports = `${gameAddress.port},${playerAddress.port}`;
    const filter = `tcp port ${gameAddress.port} or tcp port ${playerAddress.port}`;
    // Without buffering, so that what has happened is in the file.
    const recorder = new Program("dumpcap", ["-q", "-i", "lo", "-f", filter, "-w", capture]);
    await recorder.prints(/File: /);

    const server = new Program(program, [String(gameAddress.port), "0"], { ARTORIA_SERVICE_KEY: KEY });
    const port = Number((await server.prints(/127\.0\.0\.1 (\d+)/))[1]);
    const kim = new ExamplePlayer(port);
    kim.say("7 kim");
    await kim.hears("welcome, kim");
    const lee = new ExamplePlayer(port);
    lee.say("8 lee");
    await lee.hears("welcome, lee");
    kim.say("hello");
    await lee.hears("kim: hello");
    expect((await askAsService(stack, "DELETE", "/v1/sessions/7")).status).toBe(204);
    await kim.isKicked();
    await server.kill();
    await joinByTls();
    // dumpcap writes with a delay.
    const end = `tcp.port == ${playerAddress.port} && tcp.flags.fin == 1`;
    const isWritten = async (): Promise<boolean> => {
      const { stdout } = await promisify(execFile)("tshark", ["-r", capture, "-Y", end]).catch((error) => error);
      return stdout !== "";
    };
    await until(isWritten, 60_000);
    recorder.signal("SIGINT");
    await recorder.ended();
  }, COMPILE_TIMEOUT_MS);
  afterAll(async () => {
    await stack?.close();
  });

  /** A player whose token is of no session, and who keeps the keys of its TLS connection. */
  async function joinByTls(): Promise<void> {
    const { host, port } = stack.playerAddress;
    const socket = connectTls({ host, port, rejectUnauthorized: false });
    const keys: Promise<void>[] = [];
    socket.on("keylog", (line: Buffer) => keys.push(appendFile(secrets, line)));
    const token = new Uint8Array(20).fill(7);
    const join = new PacketBytes().u8(1).bytes(token).string("lobby").u64(0).u64(0).u32(1).packet(256);
    socket.once("secureConnect", () => socket.write(join));
    await new Promise((resolve) => socket.on("data", () => {}).once("close", resolve));
    await Promise.all(keys);
  }

  test("shows how it registers, checks, watches, and is told of the end", async () => {
    const text = await tshark(capture, "-o", `artoria.ports:${ports}`, "-Y", "artoria && !tls");
    const summaries = [...text.matchAll(/Artoria \d+ (.*)/g)]
      .flatMap(([, line = ""]) => line.split("; "))
      .map((each) => each.trim());
    for (const expected of [
      ...[
        "ServiceKeyRequest",
        "ServiceKeyResponse Ok",
        "WatchRequest known",
        "WatchResponse Ok",
        "SessionRegisterRequest 7",
      ],
      ...["SessionRegisterResponse Ok", "SessionCheckRequest 7", "SessionCheckResponse Ok", "SessionEnded deleted 7"],
      "SessionCheckResponse NotFound",
    ]) {
      expect(summaries).toContain(expected);
    }
    expect(text).not.toContain(KEY);
    const [users] = await fieldsOf(capture, ["artoria.user"], "-o", `artoria.ports:${ports}`);
    expect(users).toEqual(["kim"]);
  });

  test("shows what is inside of TLS, with the keys of the connection", async () => {
    const args = ["-o", `artoria.ports:${ports}`, "-o", `tls.keylog_file:${secrets}`, "-Y", "artoria && tls"];
    const text = await tshark(capture, ...args);
    expect(text).toContain("Join lobby fresh");
    expect(text).toContain("Closed SessionInvalid");
    expect(text).not.toContain("0707070707");
    // By its packets alone, on a port that nobody has named.
    const recognised = await tshark(capture, "-o", `tls.keylog_file:${secrets}`, "-Y", "artoria && tls");
    expect(recognised).toContain("Join lobby fresh");
    // Without the keys nothing is seen.
    expect(await tshark(capture, "-o", `artoria.ports:${ports}`, "-Y", "artoria && tls")).toBe("");
  });
});
