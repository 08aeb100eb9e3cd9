import { X509Certificate } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { formatToken, makeToken } from "../../protocol/session-token.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { TestBridge } from "../support/peers/test-bridge.ts";
import { ChatProgram } from "../support/processes/chat-program.ts";
import { RoomServer } from "../support/rooms/room-server.ts";
import { runInProcess } from "./run-in-process.ts";

const KIM = formatToken(makeToken(1, new Uint8Array(16).fill(1)));
const LEE = formatToken(makeToken(2, new Uint8Array(16).fill(2)));
/** Not what is tried here, and the machine may be slow. */
const PATIENT = ["--timeout", "60000"];

let server: RoomServer;
let programs: ChatProgram[];

beforeEach(async () => {
  server = await RoomServer.open({ retentionSeconds: 300 });
  programs = [];
});
afterEach(async () => {
  for (const program of programs) program.child.kill("SIGKILL");
  await Promise.all(programs.map((program) => program.ended()));
  await server.close();
});

function chat(args: readonly string[], { port = server.tlsPort, patience = PATIENT } = {}): ChatProgram {
  const program = new ChatProgram(["--room", "lobby", "--fingerprint", fingerprint(), ...patience, ...args], {
    PLAYER_PORT: String(port),
  });
  programs.push(program);
  return program;
}

function fingerprint(): string {
  return new X509Certificate(server.certificate.cert).fingerprint256;
}

describe("artoria chat", () => {
  it("sends each line of its input, shows who joins and leaves, and leaves with /quit", async () => {
    const kim = chat(["--token", KIM]);
    await kim.shows(/^-- Established$/);
    const lee = chat(["--token", LEE]);
    await kim.shows(new RegExp(`^\\* ${LEE} joined$`));
    await lee.shows(/^-- Established$/);
    lee.write("hello, kim");
    lee.write("//two slashes");
    await kim.shows(new RegExp(`^${LEE}: hello, kim$`));
    await kim.shows(new RegExp(`^${LEE}: /two slashes$`));
    kim.write("/who");
    await kim.shows(new RegExp(`^-- here: ${KIM}, ${LEE}$`));
    lee.write("/quit");
    expect(await lee.ended()).toBe(0);
    await kim.shows(new RegExp(`^\\* ${LEE} left$`));
    kim.child.kill("SIGINT");
    expect(await kim.ended()).toBe(0);
    expect(kim.lines.at(-1)).toBe("-- You have left.");
    expect(server.room.users).toEqual([]);
  });

  it("leaves at the end of its input, when the room has acked everything", async () => {
    const lines = Array.from({ length: 3000 }, (_, at) => `line ${at}`);
    const kim = chat(["--token", KIM]);
    kim.child.stdin.end(lines.join("\n"));
    expect(await kim.ended()).toBe(0);
    const posted = server.room.storage.read(0, 0, 10_000).flatMap((entry) => {
      return entry.kind === "message" ? [Buffer.from(entry.body).toString()] : [];
    });
    expect(posted).toEqual(lines);
  });

  it("shows a handover with its gap, and loses nothing", async () => {
    const proxy = await TcpProxy.open(server.tlsPort);
    const kim = chat(["--token", KIM], { port: proxy.port });
    await kim.shows(/^-- Established$/);
    proxy.refuse();
    await kim.shows(/^-- Connection lost: coming back/);
    kim.write("said while away");
    server.room.announce("heard while away");
    proxy.restore();
    await kim.shows(/^-- Back: gap \d+ ms, \d+ replayed\.$/);
    await kim.shows(/said while away$/);
    expect(kim.messages).toEqual(["server: heard while away", `${KIM}: said while away`]);
    kim.write("/quit");
    expect(await kim.ended()).toBe(0);
    await proxy.close();
  });

  it("replaces control characters", async () => {
    const kim = chat(["--token", KIM]);
    await kim.shows(/^-- Established$/);
    server.room.announce("a\u001b[2Jb\u202Ec\r\nd");
    await kim.shows(/^server: a\uFFFD\[2Jbc d$/);
  });

  it("ends with 1 when the room removes it", async () => {
    const kim = chat(["--token", KIM]);
    await kim.shows(/^-- Established$/);
    server.room.removeMember(KIM, ClosedCode.SessionInvalid);
    expect(await kim.ended()).toBe(1);
    expect(kim.lines.at(-1)).toBe("-- SessionInvalid: removed by the test.");
  });

  it("issues a session for a user at the game-server port", async () => {
    const stack = await TestBridge.open();
    const kim = chat(["--user", "kim", "--port", String(stack.bridge.gameAddress.port)]);
    await kim.shows(/^-- Established$/);
    expect([...stack.edge.sessions.users.values()]).toEqual(["kim"]);
    kim.write("/quit");
    expect(await kim.ended()).toBe(0);
    await stack.close();
  });

  it("trusts no other certificate, and says so", async () => {
    const kim = chat(["--token", KIM, "--fingerprint", "00".repeat(32)]);
    await kim.shows(/^-- No connection yet: .*the certificate is not the one with this fingerprint$/);
    expect(server.room.users).toEqual([]);
    kim.child.kill("SIGTERM");
    expect(await kim.ended()).toBe(0);
  });

  it("joins and leaves if its input is empty, and ends with 2 if it cannot join", async () => {
    const kim = chat(["--token", KIM]);
    kim.child.stdin.end();
    expect(await kim.ended()).toBe(0);
    expect(kim.lines.some((line) => line.startsWith("-- You are in"))).toBe(true);
    const lee = chat(["--token", LEE, "--fingerprint", "00".repeat(32)], { patience: ["--timeout", "1000"] });
    lee.child.stdin.end();
    expect(await lee.ended()).toBe(2);
  });

  it("ends with 2 if it cannot join in time", async () => {
    const kim = chat(["--token", KIM], { patience: ["--timeout", "1"] });
    expect(await kim.ended()).toBe(2);
    expect(kim.stderr).toMatch(/^artoria: .+\n$/);
  });

  it.each([
    ["a room that is none", ["--room", "a/b", "--token", KIM]],
    ["a token that is none", ["--room", "lobby", "--token", "short"]],
    ["neither user nor token", ["--room", "lobby"]],
    ["a fingerprint that is none", ["--room", "lobby", "--token", KIM, "--fingerprint", "abc"]],
  ])("ends with 2 for %s", async (_why, args) => {
    const result = await runInProcess(["chat", ...args]);
    expect(result).toMatchObject({ exitCode: 2, stdout: "" });
    expect(result.stderr).not.toBe("");
  });
});
