import { expect, it } from "vitest";
import { HashQueue } from "../../worker/password-hasher/password-service.ts";

interface Job {
  readonly from: string;
  readonly urgent?: boolean;
}

/** Queues all jobs at once and runs them one by one. Returns whose jobs ran, in order, and whose were refused. */
async function runAll(jobs: readonly Job[], maxWaiting = 50) {
  const queue = new HashQueue({ atOnce: 1, maxWaiting });
  const turns: string[] = [];
  const results = await Promise.all(
    jobs.map(({ from, urgent = false }) =>
      queue.run(
        async () => {
          turns.push(from);
        },
        { from, urgent },
      ),
    ),
  );
  return { turns, busy: jobs.filter((_, index) => results[index] === "busy").map(({ from }) => from) };
}

const times = (count: number, jobs: Job): Job[] => Array(count).fill(jobs);

it("a network that fills the queue of passwords does not delay others", async () => {
  const { turns, busy } = await runAll([...times(60, { from: "loud" }), { from: "kim" }, { from: "lee" }]);
  expect(turns.indexOf("kim")).toBeLessThanOrEqual(2);
  expect(turns.indexOf("lee")).toBeLessThanOrEqual(3);
  expect(new Set(busy)).toEqual(new Set(["loud"]));
  expect(busy).toHaveLength(62 - 1 - 50);
});

it("a network that fills the queue of known devices delays neither a known device nor a stranger", async () => {
  const loud = times(60, { from: "loud", urgent: true });
  const { turns, busy } = await runAll([...loud, { from: "kim", urgent: true }, { from: "stranger" }]);
  expect(turns.indexOf("kim")).toBeLessThanOrEqual(2);
  expect(turns.indexOf("stranger")).toBeLessThanOrEqual(4);
  expect(new Set(busy)).toEqual(new Set(["loud"]));
});

it("200 players of one network may use the whole queue", async () => {
  const { turns, busy } = await runAll(times(200, { from: "school" }));
  expect([turns.length, busy.length]).toEqual([51, 149]);
});

it("a known device goes before strangers", async () => {
  const { turns } = await runAll([
    ...times(20, { from: "a" }),
    ...times(20, { from: "b" }),
    { from: "kim", urgent: true },
  ]);
  expect(turns.indexOf("kim")).toBe(1);
});

it("if all networks have equally many passwords in the queue, the newcomer is refused", async () => {
  const jobs = Array.from({ length: 6 }, (_, index) => ({ from: `network ${index}` }));
  expect((await runAll(jobs, 3)).busy).toEqual(["network 4", "network 5"]);
});
