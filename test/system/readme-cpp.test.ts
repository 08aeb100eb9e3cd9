import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Status } from "../../protocol/status-codes.ts";
import { endPacket, ScriptedBridge, statusPacket, watchPacket } from "../support/peers/scripted-bridge.ts";
import { COMPILE_TIMEOUT_MS, CPP, SANITIZERS } from "../support/processes/cpp-compiler.ts";
import { Program } from "../support/processes/program.ts";

/** What the game server around README's lines has. */
const BEFORE = `
#include <cstdio>
#include <cstdlib>
#include <string>

bool mustCheckAll = false;
void removePlayer(int32_t sessid) { std::printf("remove %d\\n", sessid); }
void savePosition(std::string_view position) {
  std::printf("at %s%s\\n", std::string(position).c_str(), mustCheckAll ? ", check all" : "");
}

int main(int, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
`;

let folder: string;
let bridge: ScriptedBridge;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-readme-cpp-"));
  bridge = await ScriptedBridge.open();
});
afterAll(async () => {
  await bridge.close();
  await rm(folder, { recursive: true });
});

/** The C++ of a page, block by block. */
async function blocksOf(page: string): Promise<string[]> {
  const text = await readFile(new URL(`../../${page}`, import.meta.url), "utf8");
  return [...text.matchAll(/^```c\+\+\n(.*?)^```/gms)].map(([, code = ""]) => code);
}

async function compile(name: string, source: string, flags: readonly string[]): Promise<string> {
  const [file, program] = [join(folder, `${name}.cpp`), join(folder, name)];
  await writeFile(file, source);
  await promisify(execFile)("g++", [
    "-std=c++17",
    "-Wall",
    "-Wextra",
    "-Werror",
    ...flags,
    "-I",
    CPP,
    file,
    "-o",
    program,
  ]);
  return program;
}

test("the C++ of README.md compiles without a warning, checks a session and removes the players whose session ended", {
  timeout: COMPILE_TIMEOUT_MS,
}, async () => {
  const [check = "", watch = "", ...more] = await blocksOf("README.md");
  expect(more).toEqual([]);
  const [, head = "", checking = ""] = /^((?:#[^\n]*\n)+)(.*)$/s.exec(check) ?? [];
  // The port is the test's.
  const [checkAtPort, watchAtPort] = [
    checking.replace("client({})", "client(atPort)"),
    watch.replace("artoria::ClientOptions options;", "artoria::ClientOptions options = atPort;"),
  ];
  expect([checkAtPort, watchAtPort]).not.toEqual([checking, watch]);
  const port = "artoria::ClientOptions atPort;\natPort.port = static_cast<std::uint16_t>(std::atoi(arguments[1]));\n";
  const after = 'std::printf("may enter: %d, then %s\\n", mayEnter, bridge.failureText());\n}\n';
  const program = await compile("readme", head + BEFORE + port + checkAtPort + watchAtPort + after, SANITIZERS);

  const server = new Program(program, [String(bridge.port)]);
  const first = await bridge.connection(0);
  expect(await first.request(0)).toEqual({ kind: "check", sessid: 7 });
  first.send(statusPacket(2, Status.Ok));
  const second = await bridge.connection(1);
  expect(await second.request(0)).toEqual({ scope: "known", after: null });
  const end = endPacket(1, 7, "p1", "kim");
  second.send(watchPacket(Status.Ok, "p0"), end.subarray(0, 9));
  second.send(end.subarray(9), endPacket(0, 0, "p2"), endPacket(4, 0, "p3"), endPacket(3, -8, "p4"));
  await server.prints(/^at p4/m);
  second.socket.end();
  expect(await server.ended()).toBe(0);
  const lines = server.stdout.split("\n");
  expect(lines.filter((line) => !line.startsWith("at "))).toEqual([
    ...["remove 7", "remove -8", "may enter: 1, then the bridge closed the connection", ""],
  ]);
  expect(lines).toContain("at p4, check all");
});

test("the C++ of docs/cpp.md compiles without a warning", { timeout: COMPILE_TIMEOUT_MS }, async () => {
  const [turn = "", packets = "", ...more] = await blocksOf("docs/cpp.md");
  expect(more).toEqual([]);
  const includes =
    "#define ARTORIA_POSIX_CLIENT\n#include <artoria.hpp>\n#include <cstdio>\n#include <sys/socket.h>\n#include <vector>\n";
  const game = "void removePlayer(std::int32_t);\nbool mustCheckAll = false;\n";
  const parameters =
    "artoria::Client& bridge, std::vector<std::int32_t>& sessids, std::vector<artoria::Status>& statuses";
  const functions = `void turn(${parameters}) {\n${turn}}\nint main() {\nint fd = -1;\n${packets}}\n`;
  await compile("page", includes + game + functions, ["-fsyntax-only"]);
});
