import { expect, it, vi } from "vitest";
import { ReliableConnection } from "../../../client/reliable/reliable-connection.ts";
import { seededRandom } from "../../support/random.ts";
import { createSession } from "../routes/edge-client.ts";
import { EdgeTransport } from "./edge-transport.ts";
import { evict, newRoom } from "./room-object.ts";

const PLAYERS = 8;
const MESSAGES = 50;
const FAULTS = 40;
const DEADLINE = { timeout: 50_000, interval: 20 };

/** A player with the real client, and what it was told. */
async function makePlayer(room: string, user: string) {
  const transport = new EdgeTransport((await createSession({ user })).token);
  const connection = new ReliableConnection({
    transport,
    room,
    limits: { backOffBaseMs: 10, backOffCapMs: 100 },
  });
  const said: string[] = [];
  const failures: string[] = [];
  const handovers: number[] = [];
  connection.on("message", ({ body }) => said.push(new TextDecoder().decode(body)));
  connection.on("handoverEnd", ({ gapMs }) => handovers.push(gapMs));
  for (const kind of ["gap", "closed", "handoverFailed"] as const) connection.on(kind, () => failures.push(kind));
  connection.connect();
  await vi.waitUntil(() => connection.state === "Established", DEADLINE);
  return { user, transport, connection, said, failures, handovers };
}

it("brings every message to everybody once and in one order, while connections are cut and the room is evicted", async () => {
  const room = newRoom();
  const random = seededRandom(7);
  const players = await Promise.all(Array.from({ length: PLAYERS }, (_, index) => makePlayer(room, `player-${index}`)));
  let unsent = players.flatMap(({ user, connection }) =>
    Array.from({ length: MESSAGES }, (_, index) => ({ connection, text: `${user}: ${index}` })),
  );
  // Each player's messages in their order, the players' mixed.
  unsent = unsent.sort((a, b) => Number(a.text.split(": ")[1]) - Number(b.text.split(": ")[1]));
  const everyFault = Math.floor(unsent.length / FAULTS);

  for (const [index, { connection, text }] of unsent.entries()) {
    expect(connection.send(new TextEncoder().encode(text)).kind).not.toBe("full");
    if (index % everyFault !== everyFault - 1) continue;
    if (random.chance(0.7)) players[random.integer(0, PLAYERS - 1)]?.transport.cut();
    else await evict(room, random.chance(0.5) ? "hibernate" : "close").catch(expectNotRunning);
    await scheduler.wait(random.integer(0, 30));
  }

  await vi.waitUntil(() => players.every(({ said }) => said.length >= unsent.length), DEADLINE);
  await vi.waitUntil(() => players.every(({ connection }) => connection.unackedMessages === 0), DEADLINE);
  const [first] = players;
  for (const { user, said, failures } of players) {
    expect(failures, user).toEqual([]);
    expect(said, user).toEqual(first?.said);
    const mine = first?.said.filter((text) => text.startsWith(`${user}: `));
    expect(mine).toEqual(Array.from({ length: MESSAGES }, (_, index) => `${user}: ${index}`));
  }
  expect(players.flatMap(({ handovers }) => handovers).length).toBeGreaterThanOrEqual(PLAYERS);
  for (const { connection } of players) connection.disconnect();
});

/** Right after an eviction, nothing may have come that woke the room. */
function expectNotRunning(error: unknown): void {
  expect(String(error)).toMatch("not currently running");
}
