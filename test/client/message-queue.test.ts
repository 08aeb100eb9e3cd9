import { describe, expect, it } from "vitest";
import { MessageQueue } from "../../client/reliable/message-queue.ts";
import type { MessageEvent } from "../../protocol/reliable/client/client-output.ts";

function message(offset: number, bytes = 1): MessageEvent {
  return { kind: "message", offset, from: 1, to: 0, body: new Uint8Array(bytes) };
}

function makeQueue(): { queue: MessageQueue; changes: boolean[] } {
  const changes: boolean[] = [];
  const queue: MessageQueue = new MessageQueue(() => changes.push(queue.isFull));
  return { queue, changes };
}

describe("MessageQueue", () => {
  it("returns messages in order, to a loop that waits and to one that comes later", async () => {
    const { queue } = makeQueue();
    const first = queue.next();
    const second = queue.next();
    for (const offset of [1, 2, 3, 4]) queue.push(message(offset));
    const taken = [await first, await second, await queue.next(), await queue.next()];
    expect(taken.map(({ value }) => value?.offset)).toEqual([1, 2, 3, 4]);
  });

  it("ends a loop after the waiting messages were taken", async () => {
    const { queue } = makeQueue();
    queue.push(message(1));
    queue.end();
    queue.push(message(2));
    const offsets: number[] = [];
    for await (const { offset } of queue) offsets.push(offset);
    expect(offsets).toEqual([1]);
  });

  it("ends for a loop that waits", async () => {
    const { queue } = makeQueue();
    const next = queue.next();
    queue.end();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it.each([
    ["1024 messages", 1024, 1],
    ["256 KiB", 20, 16 * 1024],
  ])("is full at %s, until half of them are taken", async (_bound, count, bytes) => {
    const { queue, changes } = makeQueue();
    for (let offset = 1; offset <= count; offset++) queue.push(message(offset, bytes));
    expect([queue.isFull, ...changes]).toEqual([true, true]);
    let taken = 0;
    for (; queue.isFull; taken++) await queue.next();
    expect(taken).toBeGreaterThanOrEqual(count / 2 - 1);
    expect(taken).toBeLessThan(count);
    expect(changes).toEqual([true, false]);
  });

  it("is swamped from 2 MiB on", () => {
    const { queue } = makeQueue();
    for (let offset = 1; offset <= 127; offset++) queue.push(message(offset, 16 * 1024));
    expect(queue.isSwamped).toBe(false);
    queue.push(message(128, 16 * 1024));
    expect(queue.isSwamped).toBe(true);
  });

  it("drops the waiting messages when its loop is left", async () => {
    const { queue, changes } = makeQueue();
    for (let offset = 1; offset <= 1024; offset++) queue.push(message(offset));
    for await (const { offset } of queue) if (offset === 1) break;
    expect([queue.isFull, queue.isEnded]).toEqual([false, true]);
    expect(changes).toEqual([true, false]);
    expect(await queue.next()).toEqual({ done: true, value: undefined });
  });
});
