import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { askAsService, logIn, logInAtOnce } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const API_KEY = "test-key";
const LOGINS = 6;

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

function start(variables: Readonly<Record<string, string>>): Promise<Edge> {
  return startEdge({ host: "127.0.0.1", port: 0, variables: { API_KEYS: API_KEY, ...variables } });
}

/** Begins a form and sends a few bytes of it; the response so far, and whether the connection is over. */
function beginForm(edgeUrl: string, path: string, framing: "Content-Length" | "chunked") {
  const { hostname, port, host, origin } = new URL(edgeUrl);
  const socket = connect(Number(port), hostname);
  sockets.push(socket);
  const form = { response: "", over: false };
  socket.on("data", (bytes) => {
    form.response += bytes.toString();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    form.over = true;
  });
  const [header, body] =
    framing === "chunked" ? ["Transfer-Encoding: chunked", "5\r\nuser=\r\n"] : ["Content-Length: 60000", "user="];
  const type = "Content-Type: application/x-www-form-urlencoded";
  socket.write(`POST ${path} HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\n${type}\r\n${header}\r\n\r\n${body}`);
  return form;
}

test("a form that does not arrive in time is answered 408, and its connection is closed", async () => {
  const edge = await start({ FORM_TIMEOUT_SECONDS: "1" });
  try {
    const forms = ["/login", "/signup", "/logout", "/me/sessions/end", "/rooms/lobby"].flatMap((path) => [
      beginForm(edge.url, path, "Content-Length"),
      beginForm(edge.url, path, "chunked"),
    ]);
    await until(() => forms.every(({ over }) => over));
    for (const { response } of forms) expect(response).toMatch(/^HTTP\/1\.1 408 /);
  } finally {
    await edge.close();
  }
});

describe("an edge with few places for forms and passwords", () => {
  let edge: Edge;
  beforeAll(async () => {
    edge = await start({
      ...{ FORM_TIMEOUT_SECONDS: "600", MAX_WAITING_FORMS: "50", MAX_WAITING_FORMS_PER_ADDRESS: "20" },
      ...{ PASSWORD_HASHES_AT_ONCE: "1", PASSWORD_QUEUE: "3" },
    });
  });
  afterAll(() => edge.close());

  test("holds no more slow forms than the limit, and answers a login meanwhile", async () => {
    const forms = Array.from({ length: 200 }, () => beginForm(edge.url, "/login", "Content-Length"));
    await until(() => forms.filter(({ over }) => !over).length === 20);
    expect((await logIn(edge.url, "!", "x")).status).toBe(401);
    for (const { response, over } of forms) if (over) expect(response).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("answers logins beyond a short queue 503 at once, with a Retry-After", async () => {
    const responses = await logInAtOnce(edge.url, LOGINS);
    const busy = responses.filter(({ status }) => status === 503);
    expect(responses.length - busy.length).toBeGreaterThanOrEqual(4);
    expect(busy.length).toBeGreaterThan(0);
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([401, 503]));
    expect(busy.map(({ headers }) => headers.get("Retry-After"))).toEqual(busy.map(() => "5"));
  });

  test("takes as long for a login with an unknown name as for one with a wrong password", async () => {
    const account = { name: "kim", password: "correct horse battery" };
    await askAsService({ edgeUrl: edge.url, apiKey: API_KEY }, "POST", "/v1/accounts", account);
    const fastestMs = async (user: string) => {
      const times: number[] = [];
      for (let round = 0; round < 2; round++) {
        const start = performance.now();
        const { status } = await logIn(edge.url, user, "a wrong password");
        times.push(performance.now() - start);
        expect(status).toBe(401);
      }
      return Math.min(...times);
    };
    // Without the hash it would take a hundredth.
    expect(await fastestMs("nobody-has-this")).toBeGreaterThan((await fastestMs("kim")) / 4);
  });
});
