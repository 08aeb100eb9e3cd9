import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KeepReader, NO_KEEP, writeKeep } from "../../../protocol/leases/keep-block.ts";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { ProtocolError } from "../../../protocol/packet-framing.ts";
import { fromHex, toHex } from "../../support/packets/packet-bytes.ts";

type Kind = Parameters<typeof writeKeep>[1];

interface Entry {
  readonly kind: Kind;
  readonly keepMs: number;
  readonly grants: readonly string[] | null;
}

function encode(entries: readonly Entry[]): Uint8Array {
  const writer = new ByteWriter();
  for (const { kind, keepMs, grants } of entries) writeKeep(writer, kind, keepMs, grants);
  return writer.finish();
}

function grantsOfBytes(jsonBytes: number): readonly string[] {
  return ["g".repeat(jsonBytes - '[""]'.length)];
}

const entries = fc.record({
  kind: fc.constantFrom<Kind>("check", "checkAccess", "identify", "register", "delete", "count", "issue"),
  keepMs: fc.integer({ min: 0, max: 60_000 }),
  grants: fc.option(fc.array(fc.string({ unit: "binary", maxLength: 20 }), { maxLength: 5 })),
});

describe("the keep block", () => {
  test.each([
    ["", { kind: "register", keepMs: 30_000, grants: ["*"] }],
    ["", { kind: "delete", keepMs: 0, grants: null }],
    ["1e", { kind: "check", keepMs: 30_000, grants: ["*"] }],
    ["00", { kind: "check", keepMs: 999, grants: null }],
    ["01", { kind: "check", keepMs: 1_999, grants: null }],
    ["ff", { kind: "check", keepMs: 10_000_000, grants: null }],
    ["00", { kind: "identify", keepMs: 0, grants: ["*"] }],
    ["1e05005b222a225d", { kind: "checkAccess", keepMs: 30_000, grants: ["*"] }],
    ["0202005b5d", { kind: "identify", keepMs: 2_000, grants: [] }],
    ["02ffff", { kind: "identify", keepMs: 2_000, grants: null }],
  ] as [string, Entry][])("is %j for %j", (hex, entry) => {
    expect(toHex(encode([entry]))).toBe(hex);
  });

  test("is read in the order of the requests, and to its end", () => {
    fc.assert(
      fc.property(fc.array(entries, { maxLength: 20 }), (all) => {
        const reader = new KeepReader(encode(all));
        for (const { kind, keepMs, grants } of all) {
          const seconds = Math.floor(keepMs / 1000);
          const isKept = ["check", "checkAccess", "identify"].includes(kind) && seconds > 0;
          const expected = isKept ? { seconds, grants: kind === "check" ? null : grants } : NO_KEEP;
          expect(reader.next(kind)).toEqual(expected);
        }
        reader.end();
      }),
    );
  });

  test("leaves out grants whose JSON does not fit", () => {
    const largest = grantsOfBytes(0xfffe);
    const read = (grants: readonly string[]) =>
      new KeepReader(encode([{ kind: "identify", keepMs: 1_000, grants }])).next("identify");
    expect(read(largest)).toEqual({ seconds: 1, grants: largest });
    expect(read(grantsOfBytes(0xffff))).toEqual({ seconds: 1, grants: null });
    expect(read(["é".repeat(0xffff / 2)])).toEqual({ seconds: 1, grants: null });
    expect(read(["é".repeat(30_000)])).toEqual({ seconds: 1, grants: ["é".repeat(30_000)] });
  });

  test.each([
    ["seconds", "an entry that is missing", ""],
    ["grants", "a length that is missing", "1e05"],
    ["grants", "grants that are cut off", "1e05005b222a22"],
    ["grants", "grants that are no JSON", "1e05007b222a225d"],
    ["grants", "grants that are no array", "1e03002222 22"],
    ["grants", "grants that are no strings", "1e03005b315d"],
    ["grants", "grants that are no UTF-8", "1e0200ff5d"],
  ])("names the field %s if it has %s", (field, _, hex) => {
    const read = () => new KeepReader(fromHex(hex.replaceAll(" ", ""))).next("identify");
    expect(read).toThrow(ProtocolError);
    expect(read).toThrow(`${field}: `);
  });

  test("has nothing after the last entry", () => {
    const reader = new KeepReader(fromHex("1e1e"));
    reader.next("check");
    expect(() => reader.end()).toThrow(ProtocolError);
  });
});
