import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServiceRequest } from "../../protocol/session-request.ts";
import { formatToken, makeToken, parseToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import { GamePeer } from "../support/peers/game-peer.ts";
import { askAsService, type RunningStack, STORES, startStackOn } from "../support/processes/running-stack.ts";

const { Ok, NotFound, Denied, Conflict } = Status;

describe.each(STORES)("the five operations on the %s store", (store) => {
  let stack: RunningStack;
  let peer: GamePeer;
  beforeAll(async () => {
    stack = await startStackOn(store);
    const { host, port } = stack.gameAddress;
    peer = await GamePeer.connect({ address: host, port, family: "IPv4" });
  });
  afterAll(async () => {
    peer?.close();
    await stack?.close();
  });

  const ask = async (...requests: ServiceRequest[]) => {
    const before = peer.responses.length;
    peer.send(...requests);
    return (await peer.received(before + requests.length)).slice(before);
  };
  const statuses = async (...requests: ServiceRequest[]) => (await ask(...requests)).map(({ status }) => status);
  const http = async (method: string, path: string, body?: unknown) => {
    const response = await askAsService(stack, method, path, body);
    return { status: response.status, body: response.status === 204 ? null : await response.json() };
  };

  test("respond with the statuses of the contract over TCP, pipelined", async () => {
    const kim = { sessid: 7, user: "kim", ip: "10.0.0.1" };
    expect(
      await statuses(
        { kind: "check", sessid: 7 },
        { kind: "register", ...kim },
        { kind: "check", sessid: 7 },
        { kind: "register", ...kim },
        { kind: "register", ...kim, user: "lee" },
        { kind: "checkAccess", sessid: 7, resource: "room:lobby" },
        { kind: "checkAccess", sessid: 8, resource: "room:lobby" },
        { kind: "delete", sessid: 7, user: "lee" },
        { kind: "delete", sessid: 7, user: "kim" },
        { kind: "delete", sessid: 7, user: "kim" },
        { kind: "check", sessid: 7 },
      ),
    ).toEqual([NotFound, Ok, Ok, Ok, Conflict, Ok, NotFound, Denied, Ok, NotFound, NotFound]);
  });

  test("share one set of sessions over TCP and HTTP", async () => {
    expect(await statuses({ kind: "register", sessid: -9, user: "아르토리아", ip: "192.168.0.1" })).toEqual([Ok]);
    const read = await http("GET", "/v1/sessions/-9");
    expect(read.body).toMatchObject({ sessid: -9, user: "아르토리아", ip: "192.168.0.1", grants: ["*"] });

    const created = await http("POST", "/v1/sessions", { user: "lee", sessid: 11, grants: ["room:lobby"] });
    expect(created.status).toBe(201);
    expect(
      await statuses(
        { kind: "check", sessid: 11 },
        { kind: "checkAccess", sessid: 11, resource: "room:lobby" },
        { kind: "checkAccess", sessid: 11, resource: "room:attic" },
        { kind: "register", sessid: 11, user: "kim", ip: null },
      ),
    ).toEqual([Ok, Ok, Denied, Conflict]);
    expect(await ask({ kind: "count" })).toEqual([{ kind: "count", status: Ok, sessions: 2, users: 2 }]);
    expect((await http("GET", "/v1/count")).body).toEqual({ sessions: 2, users: 2 });

    expect((await http("DELETE", "/v1/sessions/-9")).status).toBe(204);
    expect(await statuses({ kind: "check", sessid: -9 }, { kind: "delete", sessid: 11, user: "lee" })).toEqual([
      NotFound,
      Ok,
    ]);
    expect((await http("POST", "/v1/sessions/check", { sessids: [-9, 11] })).body).toEqual({
      statuses: ["not_found", "not_found"],
    });
    expect((await http("GET", "/v1/count")).body).toEqual({ sessions: 0, users: 0 });
  });

  test("identify a token that HTTP created", async () => {
    const response = await askAsService(stack, "POST", "/v1/sessions", { user: "kim", grants: ["room:lobby"] });
    const body = (await response.json()) as { sessid: number; token: string };
    const token = parseToken(body.token);
    if (token === undefined) throw new Error("the edge's token is none");
    const session = { sessid: body.sessid, user: "kim" };
    expect(
      await ask(
        { kind: "identify", token },
        { kind: "identify", token, resource: "room:lobby" },
        { kind: "identify", token, resource: "room:attic" },
        { kind: "identify", token: makeToken(body.sessid, new Uint8Array(16)) },
      ),
    ).toEqual([
      { kind: "identify", status: Ok, session },
      { kind: "identify", status: Ok, session },
      { kind: "identify", status: Denied, session: null },
      { kind: "identify", status: NotFound, session: null },
    ]);
    expect(await statuses({ kind: "delete", ...session }, { kind: "identify", token })).toEqual([Ok, NotFound]);
  });

  test("issue a session over TCP whose token is valid over HTTP", async () => {
    const [issued] = await ask({ kind: "issue", user: "kim", ip: "10.0.0.2" });
    if (issued?.kind !== "issue") throw new Error(`the response to an issue is ${issued?.kind}`);
    const headers = { Authorization: `Bearer ${formatToken(issued.token)}` };
    const checked = await fetch(`${stack.edgeUrl}/v1/check`, { headers });
    expect(checked.status).toBe(200);
    expect(checked.headers.get("X-Session-User")).toBe("kim");
    expect(checked.headers.get("X-Session-Id")).toBe(String(issued.sessid));
    expect(await statuses({ kind: "delete", sessid: issued.sessid, user: "kim" })).toEqual([Ok]);
    expect((await fetch(`${stack.edgeUrl}/v1/check`, { headers })).status).toBe(401);
  });
});
