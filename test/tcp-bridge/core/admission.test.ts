import { describe, expect, it } from "vitest";
import { Admission, type Place } from "../../../tcp-bridge/core/admission.ts";

/** An admission, and the names of the evicted connections, in order. */
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

describe("Admission", () => {
  it("refuses a connection when proven connections have all places", () => {
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

  it("evicts the oldest unproven connection of an address that is full", () => {
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

  it("evicts a connection of the address with the most unproven ones when the port is full", () => {
    const { admission, evicted, admit } = makeAdmission(5, 5);
    admit("alone", "a");
    for (const name of ["1", "2", "3", "4"]) admit(name, "flood");
    admit("next", "b");
    expect(evicted).toEqual(["1"]);
    // An address with many unproven connections loses one of its own.
    admit("5", "flood");
    expect(evicted).toEqual(["1", "2"]);
    expect(admission.total).toBe(5);
  });

  it("evicts one of its own for an address with the most unproven ones, also when hundreds of others are older", () => {
    const { evicted, admit } = makeAdmission(302, 5);
    for (let place = 0; place < 300; place++) admit(`alone ${place}`, `address ${place}`);
    admit("1", "flood");
    admit("2", "flood");
    admit("3", "flood");
    expect(evicted).toEqual(["1"]);
  });

  it("treats a connection whose proof was taken back as the newest unproven one", () => {
    const { evicted, admit } = makeAdmission(2, 2);
    const first = admit("first", "a");
    admit("second", "a");
    first.prove();
    first.doubt();
    admit("third", "a");
    expect(evicted).toEqual(["second"]);
    const fourth = admit("fourth", "a");
    expect(evicted).toEqual(["second", "first"]);
    // It was released: it cannot become unproven again.
    first.doubt();
    fourth.prove();
    admit("fifth", "a");
    expect(evicted).toEqual(["second", "first", "third"]);
  });

  it("counts right when an address evicts its own last connection", () => {
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
