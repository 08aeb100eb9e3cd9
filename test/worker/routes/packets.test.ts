import { afterEach, describe, expect, it, vi } from "vitest";
import { PACKAGE_VERSION, WIRE_PROTOCOL_VERSION } from "../../../protocol/versions.ts";
import vectors from "../../vectors/service-packets.json";
import { ask, askAsService, askPackets, createSession, newUser, problemOf } from "./edge-client.ts";

const hex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
const toHex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const concat = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const i32 = (value: number) => new Uint8Array(Int32Array.of(value).buffer);
const text = (value: string) => {
  const bytes = new TextEncoder().encode(value);
  return concat(Uint8Array.of(bytes.length & 255, bytes.length >> 8), bytes);
};
const packet = (type: number, ...payload: Uint8Array[]) => {
  const body = concat(...payload);
  return concat(Uint8Array.of((body.length + 4) & 255, (body.length + 4) >> 8, type & 255, type >> 8), body);
};
const tokenBytes = (token: string) => Uint8Array.fromBase64(token, { alphabet: "base64url" });
const respond = async (body: Uint8Array<ArrayBuffer>, headers: Readonly<Record<string, string>> = {}) => {
  const response = await askPackets(body, headers);
  expect(response.status).toBe(200);
  expect(response.headers.get("Content-Type")).toBe("application/octet-stream");
  return new Uint8Array(await response.arrayBuffer());
};

afterEach(() => vi.restoreAllMocks());

describe("POST /v1/packets", () => {
  it("runs the five operations in order within one batch", async () => {
    const { sessid } = await createSession();
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    const user = newUser();
    const batch = concat(
      packet(1, i32(sessid)),
      packet(3, i32(sessid), i32(0x0a000001), text(user)),
      packet(1, i32(sessid)),
      packet(11, i32(sessid), text("room:lobby")),
      packet(3, i32(sessid), i32(0), text("another")),
      packet(5, i32(sessid), i32(0), text("another")),
      packet(5, i32(sessid), i32(0), text(user)),
      packet(1, i32(sessid)),
    );
    expect(toHex(await respond(batch))).toBe(
      [
        "0500020001",
        "0500040000",
        "0500020000",
        "05000c0000",
        "0500040003",
        "0500060002",
        "0500060000",
        "0500020001",
      ].join(""),
    );
  });

  it("records the address of a register as IPv4", async () => {
    const { sessid } = await createSession();
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    await respond(packet(3, i32(sessid), i32(0xc0a80001 | 0), text(newUser())));
    expect(await (await askAsService("GET", `/v1/sessions/${sessid}`)).json()).toMatchObject({ ip: "192.168.0.1" });
  });

  it("issues a session whose token a client can use, and counts it", async () => {
    const issued = await respond(concat(packet(9, i32(0), text(newUser())), packet(7)));
    expect(toHex(issued.subarray(0, 5))).toBe("1d000a0000");
    const token = btoa(String.fromCharCode(...issued.subarray(9, 29)))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .slice(0, 27);
    const seen = await ask("/v1/session", { headers: { Authorization: `Bearer ${token}` } });
    expect(await seen.json()).toMatchObject({ sessid: new DataView(issued.buffer).getInt32(5, true) });
    expect(toHex(issued.subarray(29, 34))).toBe("0d00080000");
    expect(new DataView(issued.buffer).getUint32(34, true)).toBeGreaterThanOrEqual(1);
  });

  it("identifies the session of a token, in its place among other packets", async () => {
    const { sessid, token, user } = await createSession({ grants: ["room:lobby"] });
    const bytes = tokenBytes(token);
    const wrong = bytes.with(19, (bytes[19] ?? 0) ^ 1);
    const batch = concat(
      packet(1, i32(sessid)),
      packet(13, bytes, text("")),
      packet(13, bytes, text("room:lobby")),
      packet(13, bytes, text("room:attic")),
      packet(13, wrong, text("")),
      packet(13, new Uint8Array(20), text("")),
      packet(5, i32(sessid), i32(0), text(user)),
      packet(13, bytes, text("")),
    );
    const identified = toHex(packet(14, Uint8Array.of(0), i32(sessid), text(user)));
    const notFound = "0b000e00" + "01" + "00000000" + "0000";
    expect(toHex(await respond(batch))).toBe(
      [
        ...["0500020000", identified, identified, "0b000e00" + "02" + "00000000" + "0000"],
        ...[notFound, notFound, "0500060000", notFound],
      ].join(""),
    );
  });

  it("finds no session for the token of a browser that has not logged in", async () => {
    const anonymous = /__Host-sid=([^;]+)/.exec((await ask("/")).headers.get("Set-Cookie") ?? "")?.[1] ?? "";
    const responses = await respond(concat(packet(13, tokenBytes(anonymous), text(""))));
    expect(toHex(responses)).toBe("0b000e00" + "01" + "00000000" + "0000");
    const entering = await respond(concat(packet(13, tokenBytes(anonymous), text("room:lobby"))));
    expect(toHex(entering)).toBe("0b000e00" + "01" + "00000000" + "0000");
  });

  it.each(vectors.broken.filter(({ expect: outcome }) => !outcome.endsWith("close")))(
    "responds to $why in its place: $expect",
    async ({ hex: broken, expect: outcome }) => {
      const count = packet(7);
      const responses = await respond(concat(hex(broken), count));
      const type = new DataView(responses.buffer).getUint16(2, true);
      const name = outcome.split("(")[0];
      const types: Record<string, number> = {
        ErrorResponse: 127,
        SessionCheckResponse: 2,
        SessionRegisterResponse: 4,
        SessionCheckAccessResponse: 12,
        SessionIdentifyResponse: 14,
        // Only a bridge has watches.
        WatchResponse: 127,
      };
      expect(type).toBe(types[name ?? ""]);
      expect(responses[4]).toBe(4);
      const size = new DataView(responses.buffer).getUint16(0, true);
      expect(toHex(responses.subarray(size, size + 5))).toBe("0d00080000");
    },
  );

  it.each([
    ["a size under the header", "0800010007000000" + "03000100"],
    ["a size over the cap", "0800010007000000" + "01040100"],
    ["half a packet", "0800010007000000" + "08000100"],
  ])("refuses all of a body with %s", async (_, body) => {
    const { sessid } = await createSession();
    const withDelete = concat(packet(5, i32(sessid), i32(0), text("x")), hex(body));
    expect(await problemOf(await askPackets(withDelete))).toMatchObject({ status: 400, code: "invalid" });
    expect((await askAsService("GET", `/v1/sessions/${sessid}`)).status).toBe(200);
  });

  it("executes no packet of a body whose end is broken", async () => {
    const { sessid, user } = await createSession();
    const body = concat(packet(5, i32(sessid), i32(0), text(user)), hex("03000100"));
    expect((await askPackets(body)).status).toBe(400);
    expect((await askAsService("GET", `/v1/sessions/${sessid}`)).status).toBe(200);
  });

  it("accepts 1000 packets and 512 KiB and no more, and responds to an empty body with an empty one", async () => {
    const check = packet(1, i32(7));
    expect((await respond(concat(...Array(1000).fill(check)))).length).toBe(5000);
    const many = await askPackets(concat(...Array(1001).fill(check)));
    expect(await problemOf(many)).toMatchObject({ status: 413, code: "too_large" });
    const large = await askPackets(new Uint8Array(512 * 1024 + 1));
    expect(await problemOf(large)).toMatchObject({ status: 413, code: "too_large" });
    expect((await respond(new Uint8Array(0))).length).toBe(0);
  });

  it.each([
    ["no key", {}],
    ["a wrong key", { Authorization: "Bearer test-ke", "CF-Connecting-IP": "10.2.2.1" }],
  ])("executes no packet with %s", async (_, key) => {
    const { sessid, user } = await createSession();
    const headers = { "Content-Type": "application/octet-stream", ...key };
    const body = packet(5, i32(sessid), i32(0), text(user));
    const refused = await problemOf(await ask("/v1/packets", { method: "POST", headers, body }));
    expect(refused).toMatchObject({ status: 401, code: "unauthenticated" });
    expect((await askAsService("GET", `/v1/sessions/${sessid}`)).status).toBe(200);
  });

  describe("from a bridge that may keep sessions", () => {
    /** BRIDGE_CACHE_MS, the longest time: the sessions live longer, and are touched every minute. */
    const KEPT = Uint8Array.of(30);
    const NOT_KEPT = Uint8Array.of(0);

    it("appends for each packet how long its session may be kept, and its grants", async () => {
      const { sessid, token } = await createSession({ grants: ["room:lobby", "é"] });
      const bytes = tokenBytes(token);
      const grants = text('["room:lobby","é"]');
      const asked: readonly (readonly [request: Uint8Array, entry: Uint8Array])[] = [
        [packet(1, i32(sessid)), KEPT],
        [packet(11, i32(sessid), text("room:lobby")), concat(KEPT, grants)],
        [packet(11, i32(sessid), text("room:attic")), NOT_KEPT],
        [packet(7), new Uint8Array()],
        [packet(13, bytes, text("")), concat(KEPT, grants)],
        [packet(13, bytes, text("room:attic")), NOT_KEPT],
        [packet(13, bytes.with(19, (bytes[19] ?? 0) ^ 1), text("")), NOT_KEPT],
        [packet(1), NOT_KEPT],
        [packet(11, i32(sessid)), NOT_KEPT],
        [packet(99), new Uint8Array()],
        [packet(3, i32(sessid), i32(0), text("another")), new Uint8Array()],
        [packet(5, i32(sessid), i32(0), text("another")), new Uint8Array()],
        [packet(9, i32(0), text(newUser())), new Uint8Array()],
        [packet(1, i32(sessid)), KEPT],
      ];
      const batch = concat(...asked.map(([request]) => request));
      const responses = await respond(batch, { "X-Artoria-Keep": "1" });
      const block = concat(...asked.map(([, entry]) => entry));
      expect(toHex(responses.subarray(-block.length))).toBe(toHex(block));
      expect(responses.length - block.length).toBe((await respond(batch)).length);
    });

    it("keeps no session of a browser that has not logged in", async () => {
      const anonymous = /__Host-sid=([^;]+)/.exec((await ask("/")).headers.get("Set-Cookie") ?? "")?.[1] ?? "";
      const request = packet(13, tokenBytes(anonymous), text(""));
      const responses = await respond(request, { "X-Artoria-Keep": "1" });
      expect(toHex(responses)).toBe("0b000e00" + "01" + "00000000" + "0000" + "00");
    });

    it.each(["0", "yes", ""])("appends nothing for the header's value %j", async (value) => {
      const { sessid } = await createSession();
      const responses = await respond(packet(1, i32(sessid)), { "X-Artoria-Keep": value });
      expect(toHex(responses)).toBe("0500020000");
    });

    it("appends to an empty batch an empty block", async () => {
      expect((await respond(new Uint8Array(), { "X-Artoria-Keep": "1" })).length).toBe(0);
    });
  });

  it("refuses another content type", async () => {
    const refused = await problemOf(await askAsService("POST", "/v1/packets", {}));
    expect(refused).toMatchObject({ status: 400, detail: "Content-Type: allowed is application/octet-stream" });
  });
});

describe("the versions of POST /v1/packets", () => {
  const check = packet(1, i32(7));
  const own = { "x-artoria-edge": PACKAGE_VERSION, "x-artoria-protocol": WIRE_PROTOCOL_VERSION };
  const versionsOf = ({ headers }: Response) => Object.fromEntries([...headers].filter(([name]) => name in own));

  it("are those of the edge, in each response to a batch", async () => {
    const response = await askPackets(check);
    expect(response.status).toBe(200);
    expect(versionsOf(response)).toEqual(own);
  });

  it("are told to nobody without a key", async () => {
    const response = await ask("/v1/packets", { method: "POST", headers: { "X-Artoria-Protocol": "2.0.0" } });
    expect([response.status, versionsOf(response)]).toEqual([401, {}]);
  });

  it.each([
    "1.0.0",
    WIRE_PROTOCOL_VERSION,
    "1.99.0",
    "",
    "2",
    "2.0.0, 2.0.0",
    `2.${"0".repeat(8000)}.0`,
    "v2.0.0",
    "\u0662.0.0",
  ])("fit a bridge that says it speaks %j", async (protocol) => {
    expect(toHex(await respond(check, { "X-Artoria-Protocol": protocol }))).toBe("0500020001");
  });

  it.each([
    ["2.0.0", "upgrade the edge"],
    ["0.9.0", "upgrade the bridge"],
  ])("do not fit a bridge that speaks %s, whose batch is not executed: %s", async (protocol, advice) => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { sessid } = await createSession();
    const response = await askPackets(packet(5, i32(sessid), i32(0), text(newUser())), {
      "X-Artoria-Protocol": protocol,
    });
    expect(versionsOf(response)).toEqual(own);
    const detail = `X-Artoria-Protocol: the bridge speaks ${protocol}, this edge ${WIRE_PROTOCOL_VERSION}: ${advice}`;
    expect(await problemOf(response)).toMatchObject({ status: 400, code: "invalid", detail });
    expect((await askAsService("GET", `/v1/sessions/${sessid}`)).status).toBe(200);
  });

  it("fill no log, however many are told", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    for (let index = 0; index < 200; index++) {
      const response = await askPackets(check, {
        "X-Artoria-Protocol": `${index + 2}.0.0`,
        "X-Artoria-Bridge": `\u00e4${index}`,
      });
      expect(response.status).toBe(400);
    }
    expect(warn.mock.calls.length).toBeLessThanOrEqual(1);
  });
});
