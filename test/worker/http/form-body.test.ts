import { describe, expect, it } from "vitest";
import { BodyIntake, type BodyLimits } from "../../../worker/http/form-body.ts";

const LIMITS: BodyLimits = { timeoutMs: 3_600_000, maxWaiting: 4, maxWaitingPerAddress: 3 };
const MAX_BYTES = 10;

/** A body that comes in these pieces, and then ends or is waited for. */
function bodyOf(pieces: readonly string[], ends = true): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
      if (ends) controller.close();
    },
  });
}

describe("BodyIntake", () => {
  it("joins the chunks of a body", async () => {
    const received = await new BodyIntake(LIMITS).receive(bodyOf(["us", "", "er=", "kim12"]), MAX_BYTES, "a");
    expect(received).toEqual({ kind: "body", bytes: new TextEncoder().encode("user=kim12") });
  });

  it("accepts an empty body", async () => {
    const received = await new BodyIntake(LIMITS).receive(bodyOf([]), MAX_BYTES, "a");
    expect(received).toEqual({ kind: "body", bytes: new Uint8Array(0) });
  });

  it("gives up a body that is too large, complete or not", async () => {
    const intake = new BodyIntake(LIMITS);
    expect(await intake.receive(bodyOf(["0123456789x"]), MAX_BYTES, "a")).toEqual({ kind: "tooLarge" });
    expect(await intake.receive(bodyOf(["012345", "6789x"], false), MAX_BYTES, "a")).toEqual({ kind: "tooLarge" });
  });

  it("gives up a body that is not complete in time", async () => {
    const intake = new BodyIntake({ ...LIMITS, timeoutMs: 10 });
    expect(await intake.receive(bodyOf(["user="], false), MAX_BYTES, "a")).toEqual({ kind: "tooSlow" });
  });

  it("rejects when the client disconnects, and frees its place", async () => {
    const intake = new BodyIntake({ ...LIMITS, maxWaiting: 1 });
    const gone = new ReadableStream<Uint8Array>({ start: (controller) => controller.error(new Error("gone")) });
    await expect(intake.receive(gone, MAX_BYTES, "a")).rejects.toThrow("gone");
    expect(await intake.receive(bodyOf(["x"]), MAX_BYTES, "b")).toMatchObject({ kind: "body" });
  });

  it("gives up the oldest body of an address that has too many, and of the address with the most when all together are too many", async () => {
    const intake = new BodyIntake(LIMITS);
    const ended: string[] = [];
    const begin = (address: string, name: string) =>
      intake.receive(bodyOf([], false), MAX_BYTES, address).then(({ kind }) => ended.push(`${name} ${kind}`));
    const begun = ["a1", "a2", "a3"].map((name) => begin("a", name));
    void begin("a", "a4");
    await begun[0];
    expect(ended).toEqual(["a1 tooSlow"]);
    void begin("b", "b1");
    void begin("c", "c1");
    await begun[1];
    expect(ended).toEqual(["a1 tooSlow", "a2 tooSlow"]);
  });
});
