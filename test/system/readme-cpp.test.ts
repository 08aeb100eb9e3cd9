import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Status } from "../../protocol/status-codes.ts";
import { endPacket, ScriptedBridge, statusPacket, watchPacket } from "../support/peers/scripted-bridge.ts";
import { Program } from "../support/processes/program.ts";

/** What the game server around README's lines has. */
const BEFORE = `
#include <arpa/inet.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>

std::string position;
void handleResponse(const char* packet) { std::printf("response %d\\n", packet[2]); }
void checkAllPlayers() { std::printf("check all, at %s\\n", position.c_str()); }
void removePlayer(int32_t sessid) { std::printf("remove %d, at %s\\n", sessid, position.c_str()); }

int main(int, char** arguments) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(std::atoi(arguments[1]));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
`;
const AFTER = `
  std::printf("may enter: %d\\n", mayEnter);
}
`;

let folder: string;
let bridge: ScriptedBridge;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-cpp-"));
  bridge = await ScriptedBridge.open();
});
afterAll(async () => {
  await bridge.close();
  await rm(folder, { recursive: true });
});

test("the C++ of README.md compiles without a warning, checks a session and removes the players whose session ended", async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const blocks = [...readme.matchAll(/^```c\+\+\n(.*?)^```/gms)].map(([, code]) => code);
  expect(blocks).toHaveLength(2);
  const [source, program] = [join(folder, "game-server.cpp"), join(folder, "game-server")];
  await writeFile(source, BEFORE + blocks.join("\n") + AFTER);
  const flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"];
  await promisify(execFile)("g++", [...flags, source, "-o", program]);

  const server = new Program(program, [String(bridge.port)]);
  const connection = await bridge.connection(0);
  expect(await connection.request(0)).toEqual({ kind: "check", sessid: 7 });
  connection.send(statusPacket(2, Status.Ok));
  expect(await connection.request(1)).toEqual({ scope: "known", after: null });
  const end = endPacket(1, 7, "p1", "kim");
  connection.send(watchPacket(Status.Ok, "p0"), end.subarray(0, 9));
  connection.send(end.subarray(9), statusPacket(2, Status.Ok), endPacket(0, 0, "p2"), endPacket(4, 0, "p3"));
  connection.send(endPacket(3, -8, "p4"));
  connection.socket.end();
  expect(await server.ended()).toBe(0);
  expect(server.stdout.split("\n")).toEqual([
    ...["response 16", "remove 7, at p1", "response 2", "check all, at p3", "remove -8, at p4", "may enter: 1", ""],
  ]);
});
