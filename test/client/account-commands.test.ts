import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import type { ProgramResult } from "../support/processes/program.ts";
import { type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { runInProcess } from "./run-in-process.ts";

const PASSWORD = "correct horse battery";

let stack: RunningStack;
beforeAll(async () => {
  stack = await startStackOn("embedded");
});
afterAll(() => stack.close());

const API_KEY = () => stack.apiKey;

/** `accounts` with these arguments, and this text on the standard input. */
function accounts(args: readonly string[], input = ""): Promise<ProgramResult> {
  return runInProcess(["accounts", ...args], { EDGE_URL: stack.edgeUrl, API_KEY: API_KEY() }, input);
}

/** `accounts create` as a program, with a password on the standard input. */
async function createAsProgram(name: string, password: string): Promise<ProgramResult> {
  const child = spawn(process.execPath, ["client/command/main.ts", "accounts", "create", name], {
    env: { PATH: process.env["PATH"], EDGE_URL: stack.edgeUrl, API_KEY: API_KEY() },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end(password);
  const [stdout, stderr, [exitCode]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { exitCode, stdout, stderr };
}

async function logIn(user: string): Promise<number> {
  const body = new URLSearchParams({ user, password: PASSWORD });
  const init = { method: "POST", body, headers: { Origin: stack.edgeUrl }, redirect: "manual" } as const;
  return (await fetch(`${stack.edgeUrl}/login`, init)).status;
}

describe("artoria accounts", () => {
  it("creates, lists, grants, disables, enables and deletes an account", async () => {
    expect(await createAsProgram("kim", `${PASSWORD}\n`)).toMatchObject({
      exitCode: 0,
      stdout: "Ok\nkim  enabled  as WEB_GRANTS says\n",
      stderr: "",
    });
    expect(await accounts(["create", "kim"], PASSWORD)).toMatchObject({ exitCode: 1, stdout: "Conflict\n" });
    expect(await logIn("kim")).toBe(303);
    expect(await accounts(["grant", "kim", "/admin/*", "room:*"])).toMatchObject({
      exitCode: 0,
      stdout: "Ok\nkim  enabled  /admin/* room:*\nsessions ended 1\n",
    });
    expect(await accounts(["list"])).toMatchObject({ exitCode: 0, stdout: "kim  enabled  /admin/* room:*\n" });
    expect(await accounts(["grant", "kim", "--none"])).toMatchObject({ stdout: expect.stringContaining("nothing") });
    expect(await accounts(["grant", "kim", "--default"])).toMatchObject({
      stdout: expect.stringContaining("WEB_GRANTS"),
    });

    expect((await accounts(["disable", "KIM"])).stdout).toBe(
      "Ok\nkim  disabled  as WEB_GRANTS says\nsessions ended 0\n",
    );
    expect(await logIn("kim")).toBe(401);
    expect((await accounts(["enable", "kim"])).exitCode).toBe(0);
    expect(await logIn("kim")).toBe(303);
    const listed = JSON.parse((await accounts(["list", "--json"])).stdout);
    expect(listed).toMatchObject({ status: "Ok", accounts: [{ name: "kim", grants: null, disabled: false }] });

    expect(await accounts(["delete", "kim"])).toMatchObject({ exitCode: 0, stdout: "Ok\nsessions ended 1\n" });
    expect(await accounts(["delete", "kim"])).toMatchObject({ exitCode: 1, stdout: "NotFound\n" });
    expect(JSON.parse((await accounts(["disable", "kim", "--json"])).stdout)).toEqual({ status: "NotFound" });
    expect(await logIn("kim")).toBe(401);
  });

  it("ends with 2 and one line that names the error and never shows the key", async () => {
    const port = await freePort();
    const wrong: [string[], Record<string, string>, RegExp][] = [
      [["list"], { API_KEY: "not-the-key" }, /not a valid API key/],
      [["list", "--edge", "http://edge.example"], {}, /API_KEY: needed/],
      [["list", "--edge", "http://edge.example"], { API_KEY: "secret-key" }, /allowed is https, and http on loopback/],
      [["list", "--edge", "ftp://127.0.0.1"], {}, /Allowed is an http or https URL/],
      [["list", "--edge", `http://127.0.0.1:${port}`], { API_KEY: "secret-key" }, /ECONNREFUSED/],
      [["grant", "kim"], {}, /one of grants, --default and --none/],
      [["grant", "kim", "/a", "--default"], {}, /one of grants, --default and --none/],
      [["disable", "two words"], { API_KEY: API_KEY() }, /name: allowed are/],
      [["grant", "kim", "a*b"], { API_KEY: API_KEY() }, /grants\.0: allowed/],
    ];
    for (const [args, variables, message] of wrong) {
      const result = await runInProcess(["accounts", ...args], { EDGE_URL: stack.edgeUrl, ...variables });
      expect([args, result.exitCode, result.stdout]).toEqual([args, 2, ""]);
      expect(result.stderr).toMatch(message);
      expect(result.stderr).not.toMatch(/secret-key|not-the-key/);
    }
    expect(await accounts(["create", "empty"], "")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("a password"),
    });
    expect(await accounts(["create", "short"], "1234567")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/password: /),
    });
  });

  it("does not send its key to a host that the edge redirects to", async () => {
    const seen: (string | undefined)[] = [];
    const other = await listen((_, authorization) => void seen.push(authorization));
    const first = await listen((server) => server, `http://127.0.0.1:${portOf(other)}/v1/accounts`);
    const result = await runInProcess(["accounts", "list"], {
      EDGE_URL: `http://127.0.0.1:${portOf(first)}`,
      API_KEY: "secret-key",
    });
    expect(result.exitCode).toBe(2);
    expect(seen).toEqual([]);
    other.close();
    first.close();
  });
});

async function listen(onRequest: (server: Server, authorization: string | undefined) => unknown, redirectTo = "") {
  const server: Server = createServer((request, response) => {
    onRequest(server, request.headers.authorization);
    if (redirectTo !== "") response.writeHead(307, { Location: redirectTo });
    response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
