import { connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type Edge, startEdge } from "../../dev/edge.ts";
import { until } from "../support/until.ts";

let edge: Edge | undefined;
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await edge?.close();
  edge = undefined;
});

/** Starts an edge with these variables; its URL. */
async function start(variables: Readonly<Record<string, string>>): Promise<string> {
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables: { API_KEYS: "test-key", ...variables } });
  return edge.url;
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
  const edgeUrl = await start({ FORM_TIMEOUT_SECONDS: "1" });
  const forms = ["/login", "/signup", "/logout", "/me/sessions/end", "/rooms/lobby"].flatMap((path) => [
    beginForm(edgeUrl, path, "Content-Length"),
    beginForm(edgeUrl, path, "chunked"),
  ]);
  await until(() => forms.every(({ over }) => over));
  for (const { response } of forms) expect(response).toMatch(/^HTTP\/1\.1 408 /);
});

test("many slow forms hold no more than the limit, and a login is answered meanwhile", async () => {
  const edgeUrl = await start({
    FORM_TIMEOUT_SECONDS: "600",
    MAX_WAITING_FORMS: "50",
    MAX_WAITING_FORMS_PER_ADDRESS: "20",
  });
  const forms = Array.from({ length: 200 }, () => beginForm(edgeUrl, "/login", "Content-Length"));
  await until(() => forms.filter(({ over }) => !over).length === 20);
  const login = await fetch(`${edgeUrl}/login`, {
    method: "POST",
    headers: { Origin: edgeUrl },
    body: new URLSearchParams({ user: "!", password: "x" }),
  });
  expect(login.status).toBe(401);
  for (const { response, over } of forms) if (over) expect(response).toMatch(/^HTTP\/1\.1 408 /);
});
