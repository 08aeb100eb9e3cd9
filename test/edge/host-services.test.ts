import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type HostServices, startHostServices } from "../../edge/host-services.ts";

let folder: string;
let services: HostServices;
let open: () => void;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-host-"));
  const { promise: opened, resolve } = Promise.withResolvers<void>();
  open = resolve;
  services = await startHostServices({
    socketPath: join(folder, "host.sock"),
    authorization: "Bearer right",
    variables: {},
    opened,
  });
});
afterEach(async () => {
  services.close();
  await rm(folder, { recursive: true });
});

async function ask(path: string, body: unknown, authorization = "Bearer right"): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const socketPath = services.address.replace("unix:", "");
    const call = request(
      { socketPath, path, method: "POST", headers: { Authorization: authorization } },
      (response) => {
        text(response).then((said) => resolve([response.statusCode ?? 0, said]), reject);
      },
    );
    call.once("error", reject).end(JSON.stringify(body));
  });
}

test("a password is judged only for who shows the authorization", async () => {
  const asked = { kind: "choose", password: "password1", from: "192.0.2.1" };
  expect(await ask("/", asked, "Bearer wrong")).toEqual([401, ""]);
  expect(await ask("/", asked)).toEqual([200, '{"kind":"common"}']);
});

test("/opened is answered when the program opens the edge", async () => {
  let isOpen = false;
  const answered = ask("/opened", {}).then(([status]) => [status, isOpen]);
  expect(await ask("/", { kind: "choose", password: "password1", from: "192.0.2.1" })).toEqual([
    200,
    '{"kind":"common"}',
  ]);
  isOpen = true;
  open();
  expect(await answered).toEqual([204, true]);
});

test("a request that is not what the worker sends breaks off, and the next is answered", async () => {
  await expect(ask("/", undefined)).rejects.toThrow("socket hang up");
  expect((await ask("/", {}, "Bearer wrong"))[0]).toBe(401);
});
