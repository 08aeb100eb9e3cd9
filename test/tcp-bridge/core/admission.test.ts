import { describe, expect, it } from "vitest";
import { Admission, type Place } from "../../../tcp-bridge/core/admission.ts";

/** An admission, and the names of those who were evicted, in order. */
function makeAdmission(maxConnections: number, maxConnectionsPerAddress: number) {
  const admission = new Admission({ maxConnections, maxConnectionsPerAddress });
  const evicted: string[] = [];
  const admit = (name: string, address: string): Place => {
    const place = admission.admit(address, () => evicted.push(name));
    if (typeof place === "string") throw new Error(place);
    return place;
  };
  return { admission, evicted, admit };
}

describe("the places of a port", () => {
  it("are refused to the next one when all are taken by who is proven", () => {
    const { admission, admit } = makeAdmission(2, 1);
    const first = admit("first", "a");
    first.prove();
    expect(() => admit("second", "a")).toThrow("connections_per_address");
    admit("third", "b").prove();
    expect(() => admit("fourth", "c")).toThrow(/^connections$/);
    expect(admission.total).toBe(2);
    first.release();
    first.release();
    expect(admission.total).toBe(1);
    admit("fifth", "a");
  });

  it("are taken from the oldest unproven one of the address if that is full", () => {
    const { admission, evicted, admit } = makeAdmission(10, 2);
    admit("other", "b");
    admit("proven", "a").prove();
    admit("silent", "a");
    admit("next", "a");
    expect(evicted).toEqual(["silent"]);
    admit("last", "a").prove();
    expect(evicted).toEqual(["silent", "next"]);
    expect(() => admit("too many", "a")).toThrow("connections_per_address");
    expect(admission.total).toBe(3);
  });

  it("are taken from the address with the most unproven ones if the port is full", () => {
    const { admission, evicted, admit } = makeAdmission(5, 5);
    admit("alone", "a");
    for (const name of ["1", "2", "3", "4"]) admit(name, "flood");
    admit("next", "b");
    expect(evicted).toEqual(["1"]);
    // Who comes with many takes from itself.
    admit("5", "flood");
    expect(evicted).toEqual(["1", "2"]);
    expect(admission.total).toBe(5);
  });

  it("can be doubted again, and are then as if they had come just now", () => {
    const { evicted, admit } = makeAdmission(2, 2);
    const first = admit("first", "a");
    admit("second", "a");
    first.prove();
    first.doubt();
    admit("third", "a");
    expect(evicted).toEqual(["second"]);
    const fourth = admit("fourth", "a");
    expect(evicted).toEqual(["second", "first"]);
    // It is gone: nothing that it says brings it back.
    first.doubt();
    fourth.prove();
    admit("fifth", "a");
    expect(evicted).toEqual(["second", "first", "third"]);
  });

  it("are counted right when an address evicts its own last one", () => {
    const { admission, evicted, admit } = makeAdmission(1, 1);
    admit("first", "a");
    const second = admit("second", "a");
    expect(evicted).toEqual(["first"]);
    second.release();
    expect(admission.total).toBe(0);
    admit("third", "a");
    expect(admission.total).toBe(1);
  });
});
