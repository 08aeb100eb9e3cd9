import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { PACKAGE_VERSION, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";
import { TestBridge } from "../support/peers/test-bridge.ts";
import { type ProgramResult, runProgram } from "../support/processes/program.ts";
import { runInProcess } from "./run-in-process.ts";

let stack: TestBridge;
beforeAll(async () => {
  stack = await TestBridge.open();
});
afterAll(() => stack.close());

const BRIDGE = () => ({ BRIDGE_PORT: String(stack.bridge.gameAddress.port) });

function artoria(...args: string[]): Promise<ProgramResult> {
  return runInProcess(args, BRIDGE());
}

describe("the artoria command", () => {
  it("registers, checks, counts and deletes a session, with the verdict as its exit code", async () => {
    const asProgram = await runProgram("client/command/main.ts", ["check", "7"], BRIDGE());
    expect(asProgram).toEqual({ exitCode: 1, stdout: "NotFound\n", stderr: "" });
    expect(await artoria("register", "7", "--user", "kim", "--ip", "10.0.0.1")).toMatchObject({ exitCode: 0 });
    expect(stack.edge.sessions.users.get(7)).toBe("kim");
    expect(await artoria("register", "7", "--user", "lee")).toMatchObject({ exitCode: 1, stdout: "Conflict\n" });
    expect(await artoria("check", "7")).toMatchObject({ exitCode: 0, stdout: "Ok\n" });
    expect(await artoria("check-access", "7", "open:door")).toMatchObject({ exitCode: 0, stdout: "Ok\n" });
    expect(await artoria("check-access", "7", "vault")).toMatchObject({ exitCode: 1, stdout: "Denied\n" });
    expect(await artoria("count")).toMatchObject({ exitCode: 0, stdout: "Ok\nsessions 1\nusers 1\n" });
    expect(await artoria("delete", "7", "--user", "lee")).toMatchObject({ exitCode: 1, stdout: "Denied\n" });
    expect(await artoria("delete", "7", "--user", "kim")).toMatchObject({ exitCode: 0, stdout: "Ok\n" });
    expect(stack.edge.sessions.users.size).toBe(0);
  });

  it("prints one JSON object with --json, which contains the token of an issued session", async () => {
    const issued = await artoria("issue", "--user", "kim", "--json");
    expect(issued.exitCode).toBe(0);
    const { status, sessid, token } = JSON.parse(issued.stdout);
    expect(status).toBe("Ok");
    expect(stack.edge.sessions.users.get(sessid)).toBe("kim");
    expect(token).toMatch(/^[A-Za-z0-9_-]{27}$/);
    expect(JSON.parse((await artoria("check", "-2", "--json")).stdout)).toEqual({ status: "NotFound" });
  });

  it("prints whose token it is", async () => {
    const { sessid, token } = JSON.parse((await artoria("issue", "--user", "kim", "--json")).stdout);
    const stdout = `Ok\nsessid ${sessid}\nuser kim\n`;
    expect(await artoria("identify", token)).toEqual({ exitCode: 0, stdout, stderr: "" });
    expect(await artoria("identify", token, "--resource", "open:door")).toMatchObject({ exitCode: 0, stdout });
    expect(await artoria("identify", token, "--resource", "vault")).toMatchObject({ exitCode: 1, stdout: "Denied\n" });
    stack.edge.sessions.users.delete(sessid);
    expect(await artoria("identify", token, "--json")).toMatchObject({
      exitCode: 1,
      stdout: '{"status":"NotFound"}\n',
    });
  });

  it("ends with 2 for a token that is none, without printing it", async () => {
    const token = "AAAAAAAAAAAAAAAAAAAAAAAAAAB";
    const result = await artoria("identify", token);
    expect(result).toMatchObject({ exitCode: 2, stdout: "" });
    expect(result.stderr).toContain("27 characters");
    expect(result.stderr).not.toContain(token);
  });

  it.each([
    ["no command", []],
    ["an unknown command", ["chekc", "7"]],
    ["an unknown option", ["check", "7", "--jsno"]],
    ["a sessid that is none", ["check", "seven"]],
    ["the sessid 0", ["check", "0"]],
    ["a sessid beyond an int32", ["check", "2147483648"]],
    ["no user", ["register", "7"]],
    ["an address that is none", ["register", "7", "--user", "kim", "--ip", "10.0.0.256"]],
    ["a port that is none", ["count", "--port", "65536"]],
  ])("ends with 2 for %s", async (_why, args) => {
    const result = await artoria(...args);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).not.toBe("");
    expect(result.stdout).toBe("");
  });

  it("ends with 2 and one line if nobody listens", async () => {
    const port = await freePort();
    const result = await artoria("count", "--port", String(port));
    expect(result).toMatchObject({ exitCode: 2, stdout: "" });
    expect(result.stderr).toMatch(
      /^artoria: 127\.0\.0\.1:\d+: connect ECONNREFUSED.*BRIDGE_PORT, say where the bridge is\n$/,
    );
  });

  it("says that a port which does not answer may use TLS", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    try {
      const args = ["count", "--port", String(port), "--timeout", "50"];
      expect(await runInProcess(args)).toMatchObject({
        exitCode: 2,
        stderr: "artoria: no response within 50 ms; a port that uses TLS needs --tls\n",
      });
      expect((await runInProcess([...args, "--tls"])).stderr).not.toContain("needs --tls");
    } finally {
      silent.close();
    }
  });

  it("prints its version and that of the wire protocol with --version, and ends with 0", async () => {
    const stdout = `artoria ${PACKAGE_VERSION}, wire protocol ${WIRE_PROTOCOL_VERSION}\n`;
    expect(await artoria("--version")).toEqual({ exitCode: 0, stdout, stderr: "" });
  });

  it("shows help and ends with 0", async () => {
    const help = await artoria("--help");
    expect(help.exitCode).toBe(0);
    for (const command of [
      "check",
      "check-access",
      "register",
      "delete",
      "count",
      "issue",
      "identify",
      "watch",
      "webhook",
    ]) {
      expect(help.stdout).toContain(command);
    }
  });
});
