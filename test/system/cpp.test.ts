import { execFile, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MAX_PLAYER_PACKET_BYTES, MAX_SERVICE_PACKET_BYTES, ProtocolError } from "../../protocol/packet-framing.ts";
import { decodePlayerPacket } from "../../protocol/player-packets.ts";
import {
  decodeServiceKey,
  decodeServiceRequest,
  SERVICE_KEY_REQUEST_TYPE,
  WATCH_REQUEST_TYPE,
} from "../../protocol/service-packets.ts";
import { decodeBridgePacket, decodeWatchRequest } from "../../protocol/watch-packets.ts";
import { mutateBytes } from "../support/packets/cut-and-mutate.ts";
import { fromHex, toHex } from "../support/packets/packet-bytes.ts";
import { COMPILE_TIMEOUT_MS, CPP, compileCpp, SANITIZERS } from "../support/processes/cpp-compiler.ts";
import { seededRandom } from "../support/random.ts";

const run = promisify(execFile);

interface Vector {
  readonly type: number;
  readonly hex: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

const vectorsOf = (dialect: string): { packets: Vector[]; broken?: { hex: string; why: string }[] } =>
  JSON.parse(readFileSync(new URL(`../vectors/${dialect}-packets.json`, import.meta.url), "utf8"));
const service = vectorsOf("service");
const player = vectorsOf("player");
const vectors = [...service.packets, ...player.packets];

/** `CPP_SEED=17 npx vitest run --config vitest.system.config.ts test/system/cpp.test.ts` damages the same packets again. */
const SEED = Number(process.env["CPP_SEED"] ?? randomInt(2 ** 31));
const MUTATIONS = 1_000_000;

/** How a program is built and started: the third one for a big-endian machine, which is emulated. */
const BUILDS = [
  { name: "g++", compiler: "g++", flags: [], start: [] },
  { name: "clang++", compiler: "clang++", flags: [], start: [] },
  {
    ...{ name: "g++ for s390x, big-endian,", compiler: "s390x-linux-gnu-g++" },
    ...{ flags: ["-static"], start: ["qemu-s390x"] },
  },
];

/** Fields as the programs of client/cpp/test print them: text as hex. */
function fieldsOf({ fields }: Vector): string {
  const print = (name: string, value: string | number): string =>
    typeof value === "number" || name === "status" || name === "token" || name === "body"
      ? String(value)
      : Buffer.from(value).toString("hex");
  return Object.entries(fields)
    .map(([name, value]) => ` ${name}=${print(name, value)}`)
    .join("");
}

/** What the product says of a packet: nothing, or the code and the field of its error. */
function verdictOf(packet: Uint8Array): string | undefined {
  try {
    decodeAsProduct(packet);
    return undefined;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return `error ${error.code} ${error.code === "unknown_type" ? "type" : error.message.split(":")[0]}`;
  }
}

function decodeAsProduct(packet: Uint8Array): void {
  const type = (packet[2] ?? 0) + (packet[3] ?? 0) * 256;
  if (type >= 256) return void decodePlayerPacket(packet);
  if (type === WATCH_REQUEST_TYPE) return void decodeWatchRequest(packet);
  if (type === SERVICE_KEY_REQUEST_TYPE) return void decodeServiceKey(packet);
  const request = decodeServiceRequest(packet);
  if (request.kind === "unknown") decodeBridgePacket(packet);
  if (request.kind === "invalid") throw request.error;
}

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-cpp-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs a program of client/cpp/test with these lines as its input, and returns the lines that it prints. */
function runLines(command: readonly string[], lines: readonly string[]): string[] {
  const [program = "", ...args] = command;
  const input = lines.map((line) => `${line}\n`).join("");
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: "utf8", maxBuffer: 2 ** 28 });
  if (status !== 0)
    throw new Error(`${command.join(" ")}: ${error ?? status}\n${stdout.slice(-2_000)}${stderr.slice(-4_000)}`);
  return stdout.split("\n").slice(0, -1);
}

describe.each(BUILDS)("artoria.hpp, built by $name", ({ compiler, flags, start }) => {
  let program: string[];

  beforeAll(async () => {
    const file = join(folder, `packets-${compiler}`);
    await compileCpp(compiler, ["client/cpp/test/packets.cpp"], file, flags);
    program = [...start, file];
  }, COMPILE_TIMEOUT_MS);

  test("decodes every vector to its fields, and encodes what it has decoded to the same bytes", () => {
    const expected = vectors.map((vector) => `${vector.type}${fieldsOf(vector)} ${vector.hex}`);
    expect(
      runLines(
        [...program, "decode"],
        vectors.map(({ hex }) => hex),
      ),
    ).toEqual(expected);
  });

  test("encodes the fields of every vector to its bytes", () => {
    const fields = vectors.map((vector) => `${vector.type}${fieldsOf(vector)}`);
    expect(runLines([...program, "encode"], fields)).toEqual(vectors.map(({ hex }) => hex));
  });

  test("refuses every broken vector with the product's error, or decodes it as a packet that is no request", () => {
    const broken = (service.broken ?? []).map(({ hex, why }) => ({ hex, why, bytes: fromHex(hex) }));
    expect(broken.length).toBeGreaterThan(20);
    const verdicts = runLines(
      [...program, "decode"],
      broken.map(({ hex }) => hex),
    );
    const expected = broken.map(({ bytes, hex }) => {
      const size = (bytes[0] ?? 0) + (bytes[1] ?? 0) * 256;
      if (size < 4) return "error size_too_small size";
      if (size > MAX_SERVICE_PACKET_BYTES) return "error size_too_large size";
      return verdictOf(bytes) ?? `accepted ${hex}`;
    });
    expect(verdicts.map((line) => (line.startsWith("error") ? line : `accepted ${line.split(" ").at(-1)}`))).toEqual(
      expected,
    );
  });

  test.each([
    ["service", service.packets],
    ["player", player.packets],
  ])("finds the %s packets of a stream that is cut at any offset, or comes byte by byte", (_, packets) => {
    const bytes = packets.reduce((sum, { hex }) => sum + hex.length / 2, 0);
    // Both halves may be empty; twice, with a small buffer and with a large one.
    expect(
      runLines(
        [...program, "split"],
        packets.map(({ hex }) => hex),
      ),
    ).toEqual([String(2 * (bytes + 2))]);
  });

  test("gives the product's verdict on damaged packets, by code and field", () => {
    const random = seededRandom(SEED);
    const damaged = Array.from({ length: 20_000 }, () => {
      const { hex } = vectors[random.integer(0, vectors.length - 1)] as Vector;
      const bytes = mutateBytes(fromHex(hex), random);
      // The product's decoders get whole packets only.
      bytes[0] = bytes.byteLength & 255;
      bytes[1] = bytes.byteLength >> 8;
      return bytes;
    }).filter(({ byteLength }) => byteLength >= 4 && byteLength <= MAX_SERVICE_PACKET_BYTES);
    const lines = runLines([...program, "decode"], damaged.map(toHex));
    const verdicts = lines.map((line, index) => ({
      packet: toHex(damaged[index] ?? []),
      verdict: line.startsWith("error") ? line : undefined,
    }));
    const expected = damaged.map((bytes) => ({ packet: toHex(bytes), verdict: verdictOf(bytes) }));
    expect(verdicts, `CPP_SEED=${SEED}`).toEqual(expected);
    expect(lines.filter((line) => line.startsWith("error")).length).toBeGreaterThan(5_000);
    expect(lines.filter((line) => !line.startsWith("error")).length).toBeGreaterThan(1_000);
  });

  test("holds the longest packets of both dialects, and refuses what is one byte too long", () => {
    const seqTo = "seq=1 to=0";
    const body = (length: number): string => "ab".repeat(length);
    const longest = MAX_PLAYER_PACKET_BYTES - 20;
    const [publish, tooLong, datagram, message, tooLongMessage] = runLines(
      [...program, "encode"],
      [
        `258 ${seqTo} body=${body(longest)}`,
        `258 ${seqTo} body=${body(longest + 1)}`,
        `260 member=0 body=${body(MAX_PLAYER_PACKET_BYTES - 8)}`,
        `127 status=Invalid message=${"61".repeat(MAX_SERVICE_PACKET_BYTES - 7)}`,
        `127 status=Invalid message=${"61".repeat(MAX_SERVICE_PACKET_BYTES - 6)}`,
      ],
    );
    expect(publish).toHaveLength(2 * (longest + 16));
    expect(tooLong).toBe("error out_of_range body");
    expect(datagram).toHaveLength(2 * MAX_PLAYER_PACKET_BYTES);
    expect(message).toHaveLength(2 * MAX_SERVICE_PACKET_BYTES);
    expect(tooLongMessage).toBe("error size_too_large size");
  });
});

test(`artoria.hpp reads and writes nothing outside its buffers in ${MUTATIONS} damaged packets (CPP_SEED=${SEED})`, async () => {
  const program = join(folder, "packets-sanitized");
  await compileCpp("g++", ["client/cpp/test/packets.cpp"], program, SANITIZERS);
  const hex = vectors.map((vector) => vector.hex);
  expect(
    runLines(
      [program, "split"],
      service.packets.map((vector) => vector.hex),
    ),
  ).toHaveLength(1);
  const [summary = ""] = runLines([program, "mutate", String(SEED), String(MUTATIONS)], hex);
  process.stdout.write(`${summary}\n`);
  const [, accepted, refused] = /: (\d+) accepted, (\d+) refused/.exec(summary) ?? [];
  expect(Number(accepted) + Number(refused)).toBe(MUTATIONS);
  expect(Number(accepted)).toBeGreaterThan(MUTATIONS / 20);
});

test.each(["g++", "clang++"])(
  "artoria.hpp, compiled by %s, needs no allocation, no exception and no type information",
  async (compiler) => {
    const object = join(folder, `needs-nothing-${compiler}.o`);
    await compileCpp(compiler, ["client/cpp/test/needs-nothing.cpp"], object, ["-c"]);
    const { stdout } = await run("nm", ["--undefined-only", object]);
    const needed = stdout.split("\n").flatMap((line) => / U (\S+)/.exec(line)?.[1] ?? []);
    // The socket calls are there, so the client is.
    expect(needed).toEqual(expect.arrayContaining(["connect", "recv", "send"]));
    expect(needed.filter((name) => /alloc|^free$|_Zn|_Zd|_ZT|__cxa|Unwind|_ZSt/.test(name))).toEqual([]);
  },
);

describe("the CMake package", () => {
  const PROGRAM = `
#include <artoria.hpp>
#include <cstdio>

int main() {
  std::uint8_t bytes[64];
  const auto encoded = artoria::encode(artoria::SessionCheckRequest{7}, {bytes, sizeof bytes});
  std::printf("%zu bytes, " ARTORIA_VERSION "\\n", encoded.size);
}
`;

  /** Builds a project whose folder has just its own two files, and returns what its program prints. */
  async function build(name: string, lines: string, options: readonly string[] = []): Promise<string> {
    const project = join(folder, name);
    await mkdir(project);
    const head = "cmake_minimum_required(VERSION 3.18)\nproject(consumer LANGUAGES CXX)\n";
    const tail = "add_executable(consumer main.cpp)\ntarget_link_libraries(consumer PRIVATE artoria::artoria)\n";
    await writeFile(join(project, "CMakeLists.txt"), head + lines + tail);
    await writeFile(join(project, "main.cpp"), PROGRAM);
    await run("cmake", ["-S", project, "-B", join(project, "build"), ...options]);
    await run("cmake", ["--build", join(project, "build")]);
    return (await run(join(project, "build", "consumer"))).stdout;
  }

  let printed: string;

  beforeAll(async () => {
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
    printed = `8 bytes, ${version}\n`;
  });

  test("is fetched into an empty folder by FetchContent", async () => {
    const archive = join(folder, "artoria.tar.gz");
    const tree = join(folder, "tree", "artoria");
    await cp(CPP, join(tree, "client", "cpp"), { recursive: true });
    await run("tar", ["-czf", archive, "-C", join(folder, "tree"), "artoria"]);
    const lines = `include(FetchContent)
FetchContent_Declare(artoria URL ${pathToFileURL(archive)} SOURCE_SUBDIR client/cpp)
FetchContent_MakeAvailable(artoria)
`;
    expect(await build("fetched", lines)).toBe(printed);
  });

  test("is installed, and found by find_package in an empty folder", async () => {
    const prefix = join(folder, "prefix");
    await run("cmake", ["-S", CPP, "-B", join(folder, "install-build"), `-DCMAKE_INSTALL_PREFIX=${prefix}`]);
    await run("cmake", ["--build", join(folder, "install-build")]);
    await run("cmake", ["--install", join(folder, "install-build")]);
    const [major, minor] = printed.replace("8 bytes, ", "").split(".");
    const find = `find_package(artoria ${major}.${minor} REQUIRED)\n`;
    expect(await build("found", find, [`-DCMAKE_PREFIX_PATH=${prefix}`])).toBe(printed);
    const next = `find_package(artoria ${major}.${Number(minor) + 1} REQUIRED)\n`;
    await expect(build("not-found", next, [`-DCMAKE_PREFIX_PATH=${prefix}`])).rejects.toThrow("compatible");
  });
});
