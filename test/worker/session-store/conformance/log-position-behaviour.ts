import { expect, it } from "vitest";
import type { LogPage, LogRead, SessionEvent } from "../../../../worker/session-store/session-log.ts";
import type { StoreHarness } from "../store-harness.ts";
import { LogReader, told } from "./log-reader.ts";
import { register } from "./session-requests.ts";

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

/** Where readers stand in the log, and how they learn that it is not there any more. */
export function logPositionBehaviour(harnessOf: () => StoreHarness): void {
  it("is resumed at every position, also inside what one batch changed", async () => {
    const store = harnessOf().open();
    const { position: start } = await LogReader.open(store);
    await store.run(numbers(7).map((sessid) => register(sessid)));
    await store.run([{ kind: "delete", sessid: 3 }, register(8)]);
    await store.endAll();
    const whole = await store.readLog({ after: start, limit: 1000 });
    const events = whole.kind === "events" ? whole.events : [];
    expect(events).toHaveLength(7 + 2 + 7);
    for (const [index, { position }] of events.entries()) {
      const rest = await store.readLog({ after: position, limit: 1000 });
      expect(rest).toEqual({
        kind: "events",
        events: events.slice(index + 1),
        position: events.at(-1)?.position,
        more: false,
      });
    }
  });

  it.each([1, 2, 3, 5])("is read in pages of %i events, without a gap and without a repetition", async (limit) => {
    const store = harnessOf().open();
    const [whole, paged] = [await LogReader.open(store), await LogReader.open(store, limit)];
    await store.run(numbers(5).map((sessid) => register(sessid)));
    await store.run([register(6)]);
    await store.run(numbers(4).map((sessid) => ({ kind: "delete", sessid })));
    const events = await whole.read();
    expect(await paged.read()).toEqual(events);
    expect(paged.position).toBe(whole.position);
    for (let { position } = whole; position === whole.position; position = "") {
      const page = await store.readLog({ after: position, limit });
      expect(page).toEqual({ kind: "events", events: [], position, more: false });
    }
  });

  it("has no events for a reader that begins now, and stays where it is while nothing happens", async () => {
    const store = harnessOf().open();
    await store.run([register(1)]);
    const first = await store.readLog({ after: null, limit: 10 });
    expect(first).toEqual({ kind: "events", events: [], position: expect.any(String), more: false });
    const { position } = first as Extract<LogPage, { kind: "events" }>;
    expect(await store.readLog({ after: position, limit: 10 })).toEqual(first);
    expect(await store.readLog({ after: null, limit: 10 })).toEqual(first);
  });

  it("can be stood on before anything has happened", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const { position } = await LogReader.open(store);
    expect(await store.readLog({ after: position, limit: 10 })).toEqual({
      kind: "events",
      events: [],
      position,
      more: false,
    });
    await store.run([register(1)]);
    const page = await store.readLog({ after: position, limit: 10 });
    expect(page).toMatchObject({ kind: "events", events: [{ kind: "began", sessid: 1 }] });
  });

  it("moves on past events of kinds that the reader does not want, also where there are no others", async () => {
    const store = harnessOf().open();
    const { position: start } = await LogReader.open(store);
    const kinds = new Set(["changed", "ended"] as const);
    await store.run(numbers(5).map((sessid) => register(sessid)));
    await store.run([register(6)]);
    const { position: afterBeginnings } = await LogReader.open(store);
    const none = { kind: "events", events: [], position: afterBeginnings, more: false };
    expect(await store.readLog({ after: start, limit: 1, kinds })).toEqual(none);
    await store.run([register(7), { kind: "delete", sessid: 7 }, register(6, { grants: [] }), register(8)]);
    await store.run([{ kind: "delete", sessid: 1 }]);
    const all = async (after: string, wanted: LogRead["kinds"], limit: number) => {
      const events: SessionEvent[] = [];
      for (let [position, more] = [after, true]; more; ) {
        const page = await store.readLog({ after: position, limit, ...(wanted && { kinds: wanted }) });
        if (page.kind !== "events") throw new Error(page.kind);
        events.push(...page.events);
        ({ position, more } = page);
      }
      return events;
    };
    for (const limit of [1, 3, 100]) {
      const events = await all(start, kinds, limit);
      expect(events.map(told)).toEqual(["ended 7 of kim, deleted", "changed 6 of kim", "ended 1 of kim, deleted"]);
      for (const [index, { position }] of events.entries()) {
        expect(await all(position, kinds, limit)).toEqual(events.slice(index + 1));
      }
      const begun = await all(start, new Set(["began"]), limit);
      expect(begun.map(({ kind, sessid }) => [kind, sessid])).toEqual(numbers(8).map((sessid) => ["began", sessid]));
    }
  });

  it("tells a reader whose entry was trimmed, and shows it the end to go on from", async () => {
    const store = harnessOf().open({}, { logEntries: 10 });
    const reader = await LogReader.open(store);
    await store.run([register(1)]);
    const { position } = reader;
    // A stream in Redis keeps more than it is told to: whole nodes of 100 entries.
    for (let batch = 0; batch < 300; batch++) await store.run([register(2 + batch)]);
    const page = await store.readLog({ after: position, limit: 1000 });
    expect(page).toEqual({ kind: "reset", position: (await LogReader.open(store)).position });
    await store.run([register(1000)]);
    expect(await store.readLog({ after: "position" in page ? page.position : null, limit: 10 })).toMatchObject({
      kind: "events",
      events: [{ kind: "began", sessid: 1000 }],
    });
  });

  it("keeps at least as many entries as it is told to, and few more", async () => {
    const store = harnessOf().open({}, { logEntries: 10 });
    const positions: string[] = [];
    for (const sessid of numbers(300)) {
      await store.run([register(sessid)]);
      positions.push((await LogReader.open(store)).position);
    }
    const pages = await Promise.all(positions.map((after) => store.readLog({ after, limit: 1 })));
    const kinds = pages.map(({ kind }) => kind);
    expect(kinds.slice(-10)).toEqual(Array(10).fill("events"));
    expect(kinds.filter((kind) => kind === "events").length).toBeLessThan(200);
    expect(kinds.lastIndexOf("reset")).toBeLessThan(kinds.indexOf("events"));
  });

  it("tells a reader of a log that was emptied, also when it has grown anew", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run(numbers(3).map((sessid) => register(sessid)));
    const { position } = await LogReader.open(store);
    await harness.clear();
    const afterEmptying = await store.readLog({ after: position, limit: 10 });
    expect(afterEmptying.kind).toBe("reset");
    await store.run(numbers(3).map((sessid) => register(sessid)));
    for (const sessid of numbers(3)) await store.run([{ kind: "delete", sessid }]);
    expect((await store.readLog({ after: position, limit: 10 })).kind).toBe("reset");
  });

  it("takes what is no position for one that is lost", async () => {
    const store = harnessOf().open();
    await store.run([register(1), register(2)]);
    const { position } = await LogReader.open(store);
    const [id = "", seen = "", digest = ""] = position.split("_");
    const lost = { kind: "reset", position };
    const broken = [
      "",
      "0",
      "now",
      "$",
      "-",
      "+",
      "0-0",
      "1e400_1_a",
      "NaN_1_a",
      "_1_a",
      `${id}`,
      `${id}_${seen}`,
      `${id}_${seen}_${digest}x`,
      `${id}_${seen}_0`,
      `${id}_999_${digest}`,
      `${id}_0${seen}_${digest}`,
      `${id}_-1_${digest}`,
      ` ${id}_${seen}_${digest}`,
      `${position}\n`,
      `9${id}_${seen}_${digest}`,
      "x".repeat(100_000),
      "'; DROP TABLE log; --_1_a",
    ];
    for (const after of broken) expect([after, await store.readLog({ after, limit: 10 })]).toEqual([after, lost]);
  });
}
