import { expect, it } from "vitest";
import { HashQueue } from "../../worker/password-hasher/password-service.ts";

interface Asked {
  readonly who: string;
  readonly urgent?: boolean;
}

/** Asks all at once, then lets one hash end after the other; who had a turn, in order, and who was turned away. */
async function runAll(asked: readonly Asked[], maxWaiting = 50) {
  const queue = new HashQueue({ atOnce: 1, maxWaiting });
  const turns: string[] = [];
  const results = await Promise.all(
    asked.map(({ who, urgent = false }) =>
      queue.run(
        async () => {
          turns.push(who);
        },
        { from: who, urgent },
      ),
    ),
  );
  return { turns, busy: asked.filter((_, index) => results[index] === "busy").map(({ who }) => who) };
}

const times = (count: number, asked: Asked): Asked[] => Array(count).fill(asked);

it("a network that fills the line of passwords keeps nobody else waiting", async () => {
  const { turns, busy } = await runAll([...times(60, { who: "loud" }), { who: "kim" }, { who: "lee" }]);
  expect(turns.indexOf("kim")).toBeLessThanOrEqual(2);
  expect(turns.indexOf("lee")).toBeLessThanOrEqual(3);
  expect(new Set(busy)).toEqual(new Set(["loud"]));
  expect(busy).toHaveLength(62 - 1 - 50);
});

it("a network that fills the line of known devices keeps neither a known device nor a stranger waiting", async () => {
  const loud = times(60, { who: "loud", urgent: true });
  const { turns, busy } = await runAll([...loud, { who: "kim", urgent: true }, { who: "stranger" }]);
  expect(turns.indexOf("kim")).toBeLessThanOrEqual(2);
  expect(turns.indexOf("stranger")).toBeLessThanOrEqual(4);
  expect(new Set(busy)).toEqual(new Set(["loud"]));
});

it("200 players of one network wait in one line, and all of it is theirs", async () => {
  const { turns, busy } = await runAll(times(200, { who: "school" }));
  expect([turns.length, busy.length]).toEqual([51, 149]);
});

it("a known device goes before strangers", async () => {
  const { turns } = await runAll([
    ...times(20, { who: "a" }),
    ...times(20, { who: "b" }),
    { who: "kim", urgent: true },
  ]);
  expect(turns.indexOf("kim")).toBe(1);
});

it("where all networks have as many in line, who comes last is turned away", async () => {
  const asked = Array.from({ length: 6 }, (_, index) => ({ who: `network ${index}` }));
  expect((await runAll(asked, 3)).busy).toEqual(["network 4", "network 5"]);
});
