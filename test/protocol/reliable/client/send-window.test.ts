import { describe, expect, it } from "vitest";
import { SendWindow } from "../../../../protocol/reliable/client/send-window.ts";

const LIMITS = { windowMessages: 1024, windowBytes: 256 * 1024 };
const BODY = new Uint8Array(10);

function filled(messages: number): SendWindow {
  const window = new SendWindow(LIMITS);
  for (let message = 0; message < messages; message++) window.add(0, BODY);
  return window;
}

/** The seqs that a connection is given to carry, and how many of them are a replay. */
function carry(window: SendWindow): { seqs: number[]; replayed: number } {
  const seqs: number[] = [];
  const replayed = window.carry((seq) => seqs.push(seq));
  return { seqs, replayed };
}

describe("SendWindow", () => {
  it("numbers messages from 1 in the order of their adding, each once on a connection", () => {
    const window = filled(2);
    expect(carry(window)).toEqual({ seqs: [1, 2], replayed: 0 });
    window.add(0, BODY);
    expect(carry(window)).toEqual({ seqs: [3], replayed: 0 });
    expect(carry(window)).toEqual({ seqs: [], replayed: 0 });
  });

  it("is full at 1,024 messages, and writable again when half of its bytes are free", () => {
    const window = filled(1024);
    expect(window.add(0, BODY)).toBeUndefined();
    expect(window.takeWritable()).toBe(false);
    carry(window);
    window.acked(1);
    expect(window.takeWritable()).toBe(true);
    expect(window.takeWritable()).toBe(false);
    expect(window.add(0, BODY)).toBe(1025);
  });

  it("is full at 256 KiB, headers included", () => {
    const window = new SendWindow(LIMITS);
    const body = new Uint8Array(16 * 1024 - 16);
    for (let message = 0; message < 16; message++) expect(window.add(0, body)).toBe(message + 1);
    expect(window.bytes).toBe(256 * 1024);
    expect(window.add(0, new Uint8Array(0))).toBeUndefined();
  });

  it("keeps a copy, so that its user may reuse the buffer", () => {
    const window = new SendWindow(LIMITS);
    const body = Uint8Array.of(1);
    window.add(0, body);
    body[0] = 2;
    expect(window.drain()).toEqual([{ id: 1, to: 0, body: Uint8Array.of(1) }]);
  });

  it("carries unreceived messages again on a new connection, under the same numbers", () => {
    const window = filled(5);
    carry(window);
    expect(window.acked(2)).toBe(2);
    expect(window.canResume(3)).toBe(true);
    expect(window.resume(3)).toBe(3);
    window.add(0, BODY);
    expect(carry(window)).toEqual({ seqs: [4, 5, 6], replayed: 2 });
  });

  it("cannot resume if the room has less than it acked, or more than it was sent", () => {
    const window = filled(3);
    carry(window);
    window.acked(2);
    window.add(0, BODY);
    expect([1, 2, 3, 4].map((received) => window.canResume(received))).toEqual([false, true, true, false]);
    window.resume(2);
    carry(window);
    window.acked(4);
    expect([3, 4, 5].map((received) => window.canResume(received))).toEqual([false, true, false]);
  });

  it("accepts an Ack twice, and none of what it never carried", () => {
    const window = filled(3);
    carry(window);
    window.add(0, BODY);
    expect(window.acked(3)).toBe(3);
    expect(window.acked(3)).toBeUndefined();
    expect(window.acked(1)).toBeUndefined();
    expect(() => window.acked(4)).toThrow(expect.objectContaining({ name: "ProtocolError" }));
  });

  it("numbers waiting messages for a new seat after what that seat has received", () => {
    const window = filled(2);
    window.restart(17);
    expect(carry(window)).toEqual({ seqs: [18, 19], replayed: 0 });
  });
});
