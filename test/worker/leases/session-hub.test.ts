import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { encodeLeaseMessage } from "../../../protocol/leases/lease-messages.ts";
import { PACKAGE_VERSION, WIRE_PROTOCOL_VERSION } from "../../../protocol/versions.ts";
import type { Bindings } from "../../../worker/app-env.ts";
import { openHub, openIsolate } from "../../../worker/isolate.ts";
import type { BridgeStatus } from "../../../worker/leases/acknowledgements.ts";
import { MAX_BRIDGES, SessionHub } from "../../../worker/leases/session-hub.ts";
import { EmbeddedSessions } from "../../../worker/session-store/embedded/embedded-sessions.ts";
import { LeasePeer } from "../../support/peers/lease-peer.ts";
import { API_KEY, ask, askAsService, type Created, createSession, newUser, problemOf } from "../routes/edge-client.ts";

/** REVOCATION_BOUND_MS by default. */
const BOUND_MS = 1000;
/** For how long after a renewal a bridge may answer from memory: the bound, less 5 %. */
const LEASE_MS = 950;

const peers: LeasePeer[] = [];

/** The edge's response to a bridge's upgrade; a null header is left out. */
function dialHub(headers: Readonly<Record<string, string | null>> = {}): Promise<Response> {
  const sent = { Upgrade: "websocket", Authorization: `Bearer ${API_KEY}`, ...headers };
  const shown = Object.entries(sent).filter((entry): entry is [string, string] => entry[1] !== null);
  return ask("/v1/leases", { headers: shown });
}

async function bridge(headers: Readonly<Record<string, string>> = {}): Promise<LeasePeer> {
  const { webSocket, status } = await dialHub(headers);
  if (webSocket === null) throw new Error(`the edge responded with ${status}`);
  const peer = new LeasePeer(webSocket);
  webSocket.accept();
  peers.push(peer);
  return peer;
}

function hub(): DurableObjectStub<SessionHub> {
  return openHub(env as unknown as Bindings) as DurableObjectStub<SessionHub>;
}

/** A bridge with a lease, and when it sent the renewal. */
async function leasedBridge(): Promise<{ readonly peer: LeasePeer; readonly sentMs: number }> {
  const peer = await bridge();
  return { peer, sentMs: await peer.lease() };
}

/** Ends the hub, as a deployment does; the next request starts another. */
async function abortHub(): Promise<void> {
  await expect(runInDurableObject(hub(), (_, state) => state.abort("a new version"))).rejects.toThrow("a new version");
}

/** Ends a session; `answeredMs` is when the edge has said so, undefined until then. */
function end({ sessid }: Pick<Created, "sessid">) {
  const state: { answeredMs: number | undefined; readonly answered: Promise<Response> } = {
    answeredMs: undefined,
    answered: askAsService("DELETE", `/v1/sessions/${sessid}`).then((response) => {
      state.answeredMs = Date.now();
      return response;
    }),
  };
  return state;
}

/** On a machine on which the test took so long that the lease has run out, the delete may have been answered. */
function expectNotAnsweredWithin(leaseEndMs: number, deleted: { readonly answeredMs: number | undefined }): void {
  expect(deleted.answeredMs ?? leaseEndMs).toBeGreaterThanOrEqual(leaseEndMs);
}

afterEach(async () => {
  vi.restoreAllMocks();
  for (const peer of peers.splice(0)) peer.close();
  // Leases that a test has left behind would make the next one's deletes wait.
  await reset();
});

describe("the hub", () => {
  it("tells a bridge the versions of the edge with the upgrade", async () => {
    const { headers, webSocket } = await dialHub();
    webSocket?.accept();
    webSocket?.close();
    expect(headers.get("X-Artoria-Edge")).toBe(PACKAGE_VERSION);
    expect(headers.get("X-Artoria-Protocol")).toBe(WIRE_PROTOCOL_VERSION);
  });

  it("welcomes a bridge with the bound", async () => {
    const peer = await bridge();
    await peer.until(() => peer.messages.length > 0);
    expect(peer.messages).toEqual([{ kind: "welcome", boundMs: BOUND_MS }]);
  });

  it("grants what a bridge renews", async () => {
    const { peer } = await leasedBridge();
    await peer.lease();
    expect(peer.messages.map(({ kind }) => kind)).toEqual(["welcome", "granted", "granted"]);
    const [first = 0, second = 0] = peer.all("granted").map(({ renewal }) => renewal);
    expect(second).toBeGreaterThan(first);
  });

  it("pushes the end of a session before it grants what was renewed after it", async () => {
    const { peer } = await leasedBridge();
    const session = await createSession();
    const { answered } = end(session);
    peer.acks = true;
    expect((await answered).status).toBe(204);
    await peer.lease();
    const kinds = peer.messages.map(({ kind }) => kind);
    expect(kinds.lastIndexOf("changes")).toBeGreaterThan(0);
    expect(kinds.lastIndexOf("changes")).toBeLessThan(kinds.lastIndexOf("granted"));
    expect(peer.all("changes").flatMap(({ sessids }) => sessids)).toEqual([session.sessid]);
  });

  it("pushes a refresh that changed the grants, and no other refresh", async () => {
    const [user, sessid] = [newUser(), 4711];
    const register = (grants: readonly string[]) => askAsService("POST", "/v1/sessions", { user, sessid, grants });
    await register(["a"]);
    const { peer } = await leasedBridge();
    peer.acks = true;
    expect((await register(["b"])).status).toBe(200);
    await peer.lease();
    expect(peer.all("changes").flatMap(({ sessids }) => sessids)).toEqual([sessid]);
  });

  it("grants nothing while the log cannot be read, keeps the connection, and grants again after it", async () => {
    const { peer } = await leasedBridge();
    const broken = vi.spyOn(EmbeddedSessions.prototype, "readLog").mockImplementation(() => {
      throw new Error("the store is down");
    });
    let last = 0;
    await vi.waitFor(
      () => {
        last = peer.renew();
        expect(broken.mock.calls.length).toBeGreaterThan(1);
      },
      { timeout: 30_000, interval: 50 },
    );
    expect(peer.all("granted").length).toBe(1);
    broken.mockRestore();
    await peer.lease();
    expect(peer.all("granted").at(-1)?.renewal).toBeGreaterThan(last);
    expect(peer.closeCode).toBeUndefined();
  });
});

describe("a delete", () => {
  it("is answered when every bridge that has a lease has acked it, and not before", async () => {
    const session = await createSession();
    const [first, second] = [await leasedBridge(), await leasedBridge()];
    const deleted = end(session);
    first.peer.ack((await first.peer.changeOf(session.sessid)).number);
    const { number } = await second.peer.changeOf(session.sessid);
    // The hub has the first ack, because it came before this renewal.
    await first.peer.lease();
    expectNotAnsweredWithin(second.sentMs + LEASE_MS, deleted);
    second.peer.ack(number);
    expect((await deleted.answered).status).toBe(204);
  });

  it("does not wait for a bridge that has no lease yet", async () => {
    const acknowledged = vi.spyOn(SessionHub.prototype, "acknowledged");
    const session = await createSession();
    const silent = await bridge();
    const { peer } = await leasedBridge();
    peer.acks = true;
    const renewing = setInterval(() => peer.renew(), 100);
    expect((await end(session).answered).status).toBe(204);
    clearInterval(renewing);
    await silent.changeOf(session.sessid);
    // If the hub waited for the silent one, it would never answer.
    expect(await acknowledged.mock.results[0]?.value).toEqual(expect.any(String));
  });

  it("waits for a bridge that does not ack until its lease has run out, and then is answered", async () => {
    const session = await createSession();
    const { sentMs } = await leasedBridge();
    const deleted = end(session);
    expect((await deleted.answered).status).toBe(204);
    expect(deleted.answeredMs).toBeGreaterThanOrEqual(sentMs + LEASE_MS);
  });

  it("waits for a bridge whose connection was cut until its lease has run out", async () => {
    const session = await createSession();
    const { peer, sentMs } = await leasedBridge();
    peer.close();
    const deleted = end(session);
    expect((await deleted.answered).status).toBe(204);
    expect(deleted.answeredMs).toBeGreaterThanOrEqual(sentMs + LEASE_MS);
  });

  it("waits for the leases of a hub that was restarted until they have run out", async () => {
    const session = await createSession();
    const { peer, sentMs } = await leasedBridge();
    await abortHub();
    await peer.until(() => peer.closeCode !== undefined);
    const next = await leasedBridge();
    next.peer.acks = true;
    const deleted = end(session);
    expect((await deleted.answered).status).toBe(204);
    expect(deleted.answeredMs).toBeGreaterThanOrEqual(sentMs + LEASE_MS);
  });

  it.each<readonly [string, () => Promise<string>]>([
    ["never answers", () => new Promise(() => {})],
    ["throws", () => Promise.reject(new Error("overloaded"))],
  ])("waits until the leases have run out while the hub %s", async (_, acknowledged) => {
    vi.spyOn(SessionHub.prototype, "acknowledged").mockImplementation(acknowledged);
    const session = await createSession();
    const { peer, sentMs } = await leasedBridge();
    peer.acks = true;
    const deleted = end(session);
    expect((await deleted.answered).status).toBe(204);
    expect(deleted.answeredMs).toBeGreaterThanOrEqual(sentMs + LEASE_MS);
  });

  it("does not delay a check that comes while it waits", async () => {
    const [ended, other] = [await createSession(), await createSession()];
    const { peer, sentMs } = await leasedBridge();
    const deleted = end(ended);
    const { number } = await peer.changeOf(ended.sessid);
    const response = await askAsService("POST", "/v1/sessions/check", { sessids: [ended.sessid, other.sessid] });
    expect(await response.json()).toEqual({ statuses: ["not_found", "ok"] });
    expectNotAnsweredWithin(sentMs + LEASE_MS, deleted);
    peer.ack(number);
    await deleted.answered;
  });

  it("asks the hub a few times for a hundred at once", async () => {
    const acknowledged = vi.spyOn(SessionHub.prototype, "acknowledged");
    const sessions = await Promise.all(Array.from({ length: 100 }, () => createSession()));
    const sessids = sessions.map(({ sessid }) => sessid);
    const { peer } = await leasedBridge();
    const deletes = sessions.map(end);
    await vi.waitFor(
      async () => {
        const response = await askAsService("POST", "/v1/sessions/check", { sessids });
        expect(await response.json()).toEqual({ statuses: sessids.map(() => "not_found") });
      },
      { timeout: 30_000 },
    );
    // The first call has been waiting for this ack, and all that came meanwhile share the next.
    peer.acks = true;
    for (const { number } of peer.all("changes")) peer.ack(number);
    const responses = await Promise.all(deletes.map(({ answered }) => answered));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([204]));
    expect(acknowledged.mock.calls.length).toBeLessThan(50);
  });

  it("is answered without the hub if no bridge ever connected", async () => {
    const acknowledged = vi.spyOn(SessionHub.prototype, "acknowledged");
    expect((await end(await createSession()).answered).status).toBe(204);
    expect(acknowledged).not.toHaveBeenCalled();
  });
});

describe("the status of the hub", () => {
  const report = { kind: "status", kept: 3, answered: 10, fromMemory: 9 } as const;

  async function announced(headers: Readonly<Record<string, string>>): Promise<LeasePeer> {
    const peer = await bridge(headers);
    peer.reports = report;
    return peer;
  }

  /** The status of the one bridge, when it has reported in time. */
  function reported(peer: LeasePeer): Promise<BridgeStatus> {
    return vi.waitFor(
      async () => {
        const [status] = await hub().status();
        expect(status?.kept).toBe(peer.reports?.kept);
        return status as BridgeStatus;
      },
      { timeout: 30_000 },
    );
  }

  it("lists each bridge with its version and address as the worker saw it, its lease and what it reports", async () => {
    const peer = await announced({ "X-Artoria-Bridge": "1.2.3-rc.1+5", "CF-Connecting-IP": "192.0.2.7" });
    const before = await reported(peer);
    expect(before).toMatchObject({
      version: "1.2.3-rc.1+5",
      address: "192.0.2.7",
      kept: 3,
      answered: 10,
      fromMemory: 9,
    });
    expect(before.leaseAgeMs).toBeNull();
    const after = await vi.waitFor(async () => {
      await peer.lease();
      const status = await reported(peer);
      expect(status.leaseAgeMs).toBeGreaterThanOrEqual(0);
      return status;
    });
    expect(after.connectedMs).toBeGreaterThanOrEqual(before.connectedMs ?? Number.POSITIVE_INFINITY);
  });

  it("lists a bridge that announced nothing, and one that does not answer, with nulls, and asks the former nothing", async () => {
    const old = await bridge();
    const silent = await bridge({ "X-Artoria-Bridge": "1.0.0" });
    const unknown = { kept: null, answered: null, fromMemory: null, leaseAgeMs: null };
    expect(await hub().status()).toMatchObject([
      { version: null, ...unknown },
      { version: "1.0.0", ...unknown },
    ]);
    // What was sent before has come.
    await Promise.all([old.lease(), silent.lease()]);
    expect(old.all("statusRequest")).toHaveLength(0);
    expect(silent.all("statusRequest")).toHaveLength(1);
  });

  it("asks each bridge once for all who ask meanwhile", async () => {
    const peer = await announced({ "X-Artoria-Bridge": "1.0.0" });
    const answers = await Promise.all(Array.from({ length: 20 }, () => hub().status()));
    expect(new Set(answers.map(([status]) => status?.version))).toEqual(new Set(["1.0.0"]));
    expect(peer.all("statusRequest").length).toBeLessThan(20);
    expect(peer.closeCode).toBeUndefined();
  });

  it.each(["1.0.0 <b>", "a".repeat(65), "1,0", "v1\u00e4", ""])(
    "takes no version that is none: %j",
    async (version) => {
      await bridge({ "X-Artoria-Bridge": version });
      expect(await hub().status()).toMatchObject([{ version: null }]);
    },
  );

  it("lists bridges that it refused because of their wire protocol, the newest of many", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    await bridge({ "X-Artoria-Bridge": "1.0.0", "X-Artoria-Protocol": "1.0.0" });
    const headers = { "X-Artoria-Bridge": "3.0.0", "X-Artoria-Protocol": "2.0.0", "CF-Connecting-IP": "192.0.2.7" };
    const refusal = await dialHub(headers);
    expect(refusal.headers.get("X-Artoria-Protocol")).toBe(WIRE_PROTOCOL_VERSION);
    expect(await problemOf(refusal)).toMatchObject({ status: 400, code: "invalid" });
    const refused = { version: "3.0.0", address: "192.0.2.7", refusedProtocol: "2.0.0", connectedMs: null, kept: null };
    await vi.waitFor(async () => {
      expect(await hub().status()).toMatchObject([{ version: "1.0.0", refusedProtocol: null }, refused]);
    });
    for (let index = 0; index < 50; index++) {
      await dialHub({ "X-Artoria-Bridge": `\u00e4${index}`.repeat(index), "X-Artoria-Protocol": `${index + 2}.0.0` });
    }
    await vi.waitFor(async () => {
      const status = await hub().status();
      expect(status).toHaveLength(21);
      expect(status.at(-1)).toMatchObject({ version: null, refusedProtocol: "51.0.0" });
    });
  });

  it("does not take the address from the bridge", async () => {
    await bridge({ "X-Artoria-Address": "192.0.2.1", "X-Forwarded-For": "192.0.2.2" });
    expect(await hub().status()).toMatchObject([{ address: null }]);
  });

  it("closes a bridge that reports what nobody asked for", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const peer = await bridge({ "X-Artoria-Bridge": "1.0.0" });
    peer.send(encodeLeaseMessage(report));
    await peer.until(() => peer.closeCode !== undefined);
    expect(peer.closeCode).toBe(1008);
    expect(await hub().status()).toEqual([]);
  });
});

describe("how far the log has reached", () => {
  it("is the end of the log, which every bridge that holds a lease has acked", async () => {
    const [first, second] = [await bridge(), await bridge()];
    for (const peer of [first, second]) peer.acks = true;
    await bridge();
    expect((await end(await createSession()).answered).status).toBe(204);
    const page = await openIsolate(env as unknown as Bindings).store.readLog({ after: null, limit: 1 });
    if (page.kind !== "events") throw new Error(page.kind);
    await vi.waitFor(
      async () => {
        await Promise.all([first.lease(), second.lease()]);
        expect(await hub().reach()).toEqual({ bridges: 2, acknowledged: 2, position: page.position });
      },
      { timeout: 30_000 },
    );
  });

  it("is told without bridges too", async () => {
    await createSession();
    const page = await openIsolate(env as unknown as Bindings).store.readLog({ after: null, limit: 1 });
    if (page.kind !== "events") throw new Error(page.kind);
    expect(await hub().reach()).toEqual({ bridges: 0, acknowledged: 0, position: page.position });
  });

  it("is unknown while the log cannot be read", async () => {
    vi.spyOn(EmbeddedSessions.prototype, "readLog").mockImplementation(() => {
      throw new Error("the store is down");
    });
    expect(await hub().reach()).toBeNull();
  });
});

describe("what only a broken or hostile bridge sends", () => {
  it.each<readonly [string, Uint8Array<ArrayBuffer> | string, number]>([
    ["a text", "renew", 1003],
    ["nothing", new Uint8Array(), 1002],
    ["an unknown type", Uint8Array.of(99, 0, 0, 0, 0), 1002],
    ["a message of a hub", encodeLeaseMessage({ kind: "granted", renewal: 1 }), 1002],
    ["a renewal that is cut off", encodeLeaseMessage({ kind: "renew", renewal: 1 }).slice(0, 3), 1002],
    ["a mebibyte", new Uint8Array(2 ** 20).fill(5), 1002],
    ["an ack of nothing", encodeLeaseMessage({ kind: "ack", number: 1 }), 1002],
  ])("closes its connection, and no other: %s", async (_, frame, code) => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { peer: other } = await leasedBridge();
    const { peer } = await leasedBridge();
    peer.send(frame);
    await peer.until(() => peer.closeCode !== undefined);
    expect(peer.closeCode).toBe(code);
    await other.lease();
  });

  it("is logged once a minute", async () => {
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    for (let tries = 0; tries < 5; tries++) {
      const peer = await bridge();
      peer.send("garbage");
      await peer.until(() => peer.closeCode !== undefined);
    }
    expect(warned.mock.calls).toEqual([["the hub closed a bridge's connection: a text frame"]]);
  });
});

describe("GET /v1/leases", () => {
  it("needs an API key", async () => {
    const response = await dialHub({ Authorization: null });
    expect(response.webSocket).toBeNull();
    expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthenticated" });
  });

  it("refuses a wrong API key", async () => {
    const response = await dialHub({ Authorization: `Bearer ${"x".repeat(32)}` });
    expect(response.webSocket).toBeNull();
    expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthenticated" });
  });

  it.each([null, "h2c"])("is only for WebSockets: Upgrade %s", async (Upgrade) => {
    expect(await problemOf(await dialHub({ Upgrade }))).toMatchObject({ status: 426, code: "upgrade_required" });
  });

  it("refuses a browser, whatever page it shows", async () => {
    const response = await dialHub({ Origin: "https://edge.test" });
    expect(await problemOf(response)).toMatchObject({ status: 403, code: "denied" });
  });

  it("says that the hub cannot be reached", async () => {
    vi.spyOn(SessionHub.prototype, "fetch").mockImplementation(() => {
      throw new Error("overloaded");
    });
    expect(await problemOf(await dialHub())).toMatchObject({ status: 503, code: "unavailable" });
  });

  it(`takes ${MAX_BRIDGES} bridges, refuses the next, and replaces those that have died`, async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { peer } = await leasedBridge();
    // The clock stands still, so that no bridge dies while others connect.
    const startMs = Date.now();
    const clock = vi.spyOn(Date, "now").mockReturnValue(startMs);
    await Promise.all(Array.from({ length: MAX_BRIDGES - 1 }, () => bridge()));
    expect(await problemOf(await dialHub())).toMatchObject({ status: 429, code: "too_many" });

    clock.mockReturnValue(startMs + 60_000);
    const renewal = peer.renew();
    await peer.until(() => peer.all("granted").some((granted) => granted.renewal === renewal));
    expect((await bridge()).closeCode).toBeUndefined();
    vi.restoreAllMocks();
    await peer.lease();
    expect(peer.closeCode).toBeUndefined();
  });
});
