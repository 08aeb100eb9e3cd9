import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";

/** The worker asks its store for so many at once (worker/session-store/coalescing-store.ts); the others wait. */
const LEAVING = 16;
const STAYING = 8;

/** After so many fast replies the worker treats its store as near. */
const NEAR_AFTER = 50;

/** The store's deadline is a second. */
const PATIENCE_MS = 500;

let stack: RunningStack;
beforeAll(async () => {
  stack = await startStackOn("redis");
});
afterAll(async () => {
  stack.redis?.signal("SIGCONT");
  await stack.close();
});

/** Asks `/v1/check` on a connection of its own, which the test can end. */
async function ask(token: string): Promise<Socket> {
  const { hostname, port } = new URL(stack.edgeUrl);
  const socket = connect({ host: hostname, port: Number(port) });
  await once(socket, "connect");
  socket.write(`GET /v1/check HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  return socket;
}

async function statusOf(socket: Socket): Promise<number> {
  const [answer] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return Number(answer.toString().split(" ", 2)[1]);
}

/** The statuses of the clients that stay, and how long the store was silent. */
async function leaveWhileSilent(token: string): Promise<{ statuses: readonly number[]; silentMs: number }> {
  stack.redis?.signal("SIGSTOP");
  const startedAt = performance.now();
  const leaving = await Promise.all(Array.from({ length: LEAVING }, () => ask(token)));
  const staying = await Promise.all(Array.from({ length: STAYING }, () => ask(token)));
  const statuses = Promise.all(staying.map(statusOf));
  // The runtime tears a request down at a reset at once, but not at a mere end of what its client sends.
  for (const socket of leaving) socket.resetAndDestroy();
  await until(() => leaving.every(({ closed }) => closed));
  stack.redis?.signal("SIGCONT");
  const silentMs = performance.now() - startedAt;
  return { statuses: await statuses, silentMs };
}

/** The statuses of the clients that stay, from a round in which the store was silent for less than most of its deadline. */
async function leaveAndStay(token: string): Promise<readonly number[]> {
  let round = await leaveWhileSilent(token);
  // If a busy machine took most of the deadline, the round proves nothing.
  while (round.silentMs > PATIENCE_MS) round = await leaveWhileSilent(token);
  return round.statuses;
}

describe("clients that leave while the store is asked for them", () => {
  let token: string;
  beforeAll(async () => {
    const issued = await askAsService(stack, "POST", "/v1/sessions", { user: "kim" });
    ({ token } = (await issued.json()) as { token: string });
    expect(await statusOf(await ask(token))).toBe(200);
  });

  test("take no response from the clients that stay", async () => {
    expect(await leaveAndStay(token)).toEqual(Array(STAYING).fill(200));
  });

  test("take no place in the queue from the clients that stay, where few may ask a near store at once", async () => {
    for (let check = 0; check < NEAR_AFTER; check++) await statusOf(await ask(token));
    expect(await leaveAndStay(token)).toEqual(Array(STAYING).fill(200));
  });
});
