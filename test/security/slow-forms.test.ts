import { connect, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";

let stack: RunningStack | undefined;
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await stack?.close();
  stack = undefined;
});

/** Begins a form and sends no more of it than a few bytes; what comes back, and whether the connection is over. */
function beginForm(edgeUrl: string, path: string, framing: "Content-Length" | "chunked") {
  const { hostname, port, host, origin } = new URL(edgeUrl);
  const socket = connect(Number(port), hostname);
  sockets.push(socket);
  const form = { answer: "", over: false };
  socket.on("data", (bytes) => {
    form.answer += bytes.toString();
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

it("a form that does not arrive in time is answered 408, and its connection is closed", async () => {
  stack = await startStackOn("embedded", { FORM_TIMEOUT_SECONDS: "1" });
  const { edgeUrl } = stack;
  const forms = ["/login", "/signup", "/logout", "/me/sessions/end", "/rooms/lobby"].flatMap((path) => [
    beginForm(edgeUrl, path, "Content-Length"),
    beginForm(edgeUrl, path, "chunked"),
  ]);
  await until(() => forms.every(({ over }) => over));
  for (const { answer } of forms) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});

it("many slow forms hold no more than the limit, and a login is answered meanwhile", async () => {
  stack = await startStackOn("embedded", {
    FORM_TIMEOUT_SECONDS: "600",
    MAX_WAITING_FORMS: "50",
    MAX_WAITING_FORMS_PER_ADDRESS: "20",
  });
  const { edgeUrl } = stack;
  const forms = Array.from({ length: 200 }, () => beginForm(edgeUrl, "/login", "Content-Length"));
  await until(() => forms.filter(({ over }) => !over).length === 20);
  const response = await fetch(`${edgeUrl}/login`, {
    method: "POST",
    headers: { Origin: edgeUrl },
    body: new URLSearchParams({ user: "!", password: "x" }),
  });
  expect(response.status).toBe(401);
  for (const { answer, over } of forms) if (over) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});
