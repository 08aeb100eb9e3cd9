import { once } from "node:events";
import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Status } from "../../../protocol/status-codes.ts";
import { parseBridgeConfig } from "../../../tcp-bridge/config.ts";
import { CertificateFiles, type TlsIdentity } from "../../../tcp-bridge/core/tls-identity.ts";
import { type Certificate, selfSigned } from "../../support/peers/certificates.ts";
import { GamePeer } from "../../support/peers/game-peer.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

let first: Certificate;
let second: Certificate;
let third: Certificate;
beforeAll(async () => {
  [first, second, third] = (await Promise.all(["first", "second", "third"].map((name) => selfSigned(name)))) as [
    Certificate,
    Certificate,
    Certificate,
  ];
});

let directory: string;
let files: { cert: string; key: string; clientCa: string };
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "artoria-certificates-"));
  files = { cert: join(directory, "tls.crt"), key: join(directory, "tls.key"), clientCa: join(directory, "ca.crt") };
  await write(first);
});

const followers: { stop(): void }[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const follower of followers.splice(0)) follower.stop();
  await rm(directory, { recursive: true });
});

async function write({ cert, key }: Certificate, to = directory): Promise<void> {
  await Promise.all([writeFile(join(to, "tls.crt"), cert), writeFile(join(to, "tls.key"), key)]);
}

/** Follows the files, reads them all the time, and keeps what the port was given and what was logged. */
function follow() {
  const used: TlsIdentity[] = [];
  const lines: { level: string; reason: unknown; text: string }[] = [];
  const log = (level: string) => (fields: { reason?: unknown }, text: string) =>
    lines.push({ level, reason: fields.reason, text: JSON.stringify([fields, text]) });
  const follower = new CertificateFiles({
    name: "game",
    identity: { ...first, minVersion: "TLSv1.2", files: { cert: files.cert, key: files.key } },
    port: { useIdentity: (identity) => used.push(identity) },
    logger: { info: log("info"), warn: log("warn") } as never,
    pollMs: 1,
  });
  followers.push(follower);
  follower.start();
  const warned = (times: number) => until(() => lines.filter(({ level }) => level === "warn").length === times);
  return { follower, used, lines, warned };
}

/** Lets a follower read its files once. Timers are fake. */
async function readOnce(): Promise<void> {
  vi.advanceTimersByTime(1);
  // The timer of the next read is set after this one.
  while (vi.getTimerCount() === 0) await new Promise(setImmediate);
}

describe("the files of a certificate", () => {
  it("are read again when they were written", async () => {
    const { used, lines, follower } = follow();
    await write(second);
    await until(() => used.length > 0 && used.at(-1)?.cert === second.cert);
    expect(used).toHaveLength(1);
    expect(follower.identity).toMatchObject(second);
    expect(lines).toMatchObject([{ level: "info" }]);
    await write(third);
    await until(() => used.at(-1)?.cert === third.cert);
  });

  it("are read again when the directory behind a symbolic link is another one, as Kubernetes does it", async () => {
    const mount = join(directory, "mount");
    for (const [name, certificate] of [
      ["1", first],
      ["2", second],
    ] as const) {
      await mkdir(join(mount, name), { recursive: true });
      await write(certificate, join(mount, name));
    }
    await symlink("1", join(mount, "..data"));
    for (const name of ["tls.crt", "tls.key"]) await symlink(join("..data", name), join(mount, name));
    files = { ...files, cert: join(mount, "tls.crt"), key: join(mount, "tls.key") };
    const { used } = follow();
    await symlink("2", join(mount, "..data_tmp"));
    await rename(join(mount, "..data_tmp"), join(mount, "..data"));
    await until(() => used.length > 0);
    expect(used).toMatchObject([second]);
  });

  it("are used only as a pair, when they are replaced one after the other", async () => {
    const { used, lines, warned } = follow();
    await writeFile(`${files.cert}.new`, second.cert);
    await rename(`${files.cert}.new`, files.cert);
    await warned(1);
    await writeFile(files.key, second.key);
    await until(() => used.length > 0);
    expect(used).toMatchObject([second]);
    expect(lines.map(({ level }) => level)).toEqual(["warn", "info"]);
  });

  it.each<[name: string, reason: string, harm: () => Promise<void>]>([
    ["is gone", "a file cannot be read: ENOENT", () => unlink(files.key)],
    ["is empty", "no certificate and its private key, both PEM", () => writeFile(files.cert, "")],
    [
      "is cut off",
      "no certificate and its private key, both PEM",
      () => writeFile(files.cert, second.cert.slice(0, 300)),
    ],
    ["is the key of another", "no certificate and its private key, both PEM", () => writeFile(files.key, third.key)],
    ["holds something else", "no certificate and its private key, both PEM", () => writeFile(files.key, "hunter2")],
  ])(
    "leave the old certificate in use when one %s, and say so once, without what is in it",
    async (_, reason, harm) => {
      const { used, lines, warned } = follow();
      await harm();
      await warned(1);
      // Another one that begins now has read the files as often when it warns.
      const other = follow();
      await other.warned(1);
      expect(used).toEqual([]);
      expect(lines).toMatchObject([{ level: "warn", reason }]);
      for (const { text } of lines) expect(text).not.toMatch(/BEGIN|hunter2|tls\.(crt|key)/);
      await write(first);
      await write(second);
      await until(() => used.length > 0);
    },
  );

  it("are used, or refused, when two reads in a row have found the same", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { used, lines } = follow();
    await writeFile(files.cert, second.cert);
    await readOnce();
    await writeFile(files.key, second.key);
    await readOnce();
    expect([used, lines]).toEqual([[], []]);
    await readOnce();
    expect(used).toMatchObject([second]);
    expect(lines).toMatchObject([{ level: "info" }]);
  });

  it("are refused in the log again when they were good in between", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { used, lines } = follow();
    for (const times of [1, 2]) {
      await writeFile(files.key, third.key);
      for (let read = 1; read <= 3; read += 1) await readOnce();
      expect(lines.map(({ level }) => level)).toEqual(Array(times).fill("warn"));
      await write(first);
      await readOnce();
    }
    expect(used).toEqual([]);
  });

  it("are used at once by a reload, which says what came of it", async () => {
    const { used, lines, follower } = follow();
    follower.stop();
    const reloading = follow();
    await reloading.follower.reload();
    expect(reloading.lines.map(({ text }) => text)).toEqual([expect.stringContaining("have not changed")]);
    await unlink(files.key);
    await reloading.follower.reload();
    expect(reloading.lines.at(-1)).toMatchObject({ level: "warn", reason: "a file cannot be read: ENOENT" });
    await write(second);
    await reloading.follower.reload();
    expect(reloading.used).toMatchObject([second]);
    expect([used, lines]).toEqual([[], []]);
  });
});

describe("a bridge whose certificates are in files", () => {
  let stack: TestBridge;
  const sockets: TLSSocket[] = [];
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await stack.close();
  });

  const open = async (variables: Readonly<Record<string, string>> = {}) => {
    stack = await TestBridge.open({
      ...{ CHECK_PORT: "0", PLAYER_PORT: "0" },
      ...{
        BRIDGE_TLS_CERT: files.cert,
        BRIDGE_TLS_KEY: files.key,
        PLAYER_TLS_CERT: files.cert,
        PLAYER_TLS_KEY: files.key,
      },
      ...{ CHECK_TLS_CERT: files.cert, CHECK_TLS_KEY: files.key },
      ...variables,
    });
  };

  const dial = async (address: AddressInfo | undefined, options: ConnectionOptions = {}) => {
    const socket = connect({ host: "127.0.0.1", port: address?.port ?? 0, rejectUnauthorized: false, ...options });
    sockets.push(socket.on("error", () => undefined));
    await Promise.race([once(socket, "secureConnect"), once(socket, "close")]).catch(() => undefined);
    return socket;
  };
  /** Whose certificate each port shows to a new connection. */
  const shown = async () => {
    const { gameAddress, playerAddress, checkAddress } = stack.bridge;
    const sockets = await Promise.all([gameAddress, playerAddress, checkAddress].map((address) => dial(address)));
    return sockets.map((socket) => socket.getPeerCertificate().subject.CN);
  };

  it("shows the new one at each port, and goes on with the connections that it has", async () => {
    await open();
    expect(await shown()).toEqual(["first", "first", "first"]);
    const peer = new GamePeer(await dial(stack.bridge.gameAddress));
    peer.send({ kind: "check", sessid: 8 });
    await peer.received(1);
    await write(second);
    await stack.bridge.reloadCertificates?.();
    expect(await shown()).toEqual(["second", "second", "second"]);
    peer.send({ kind: "check", sessid: 8 });
    expect(await peer.received(2)).toMatchObject([{ status: Status.NotFound }, { status: Status.NotFound }]);
    expect(peer.ended).toBe(false);
  });

  it("accepts no older TLS version at the player port than before", async () => {
    await open();
    const isAccepted = async (maxVersion: "TLSv1.2" | "TLSv1.3") =>
      !(await dial(stack.bridge.playerAddress, { maxVersion })).destroyed;
    expect([await isAccepted("TLSv1.2"), await isAccepted("TLSv1.3")]).toEqual([false, true]);
    await write(second);
    await stack.bridge.reloadCertificates?.();
    expect(await shown()).toEqual(["second", "second", "second"]);
    expect([await isAccepted("TLSv1.2"), await isAccepted("TLSv1.3")]).toEqual([false, true]);
  });

  it("finds a change by itself", async () => {
    await open();
    await write(second);
    await until(async () => (await shown()).every((name) => name === "second"));
  });

  it("tells when the new one expires", async () => {
    await open();
    const expiry = () => stack.metric('artoria_bridge_certificate_expiry_timestamp_seconds{port="check"}');
    const before = await expiry();
    const longer = await selfSigned("longer", new Date(Date.now() + 3_600_000 * 24 * 3650));
    await write(longer);
    await stack.bridge.reloadCertificates?.();
    expect((await expiry()) ?? 0).toBeGreaterThan((before ?? Number.POSITIVE_INFINITY) + 1_000_000);
  });

  it("accepts clients of a new authority only, one that resumes a TLS session of before neither", async () => {
    await writeFile(files.clientCa, second.cert);
    await open({ BRIDGE_TLS_CLIENT_CA: files.clientCa });
    const { gameAddress } = stack.bridge;
    /** Whether the bridge answers a check of this client. */
    const isServed = async (options: ConnectionOptions) => {
      const socket = await dial(gameAddress, options);
      const peer = new GamePeer(socket);
      if (socket.destroyed) return false;
      peer.send({ kind: "check", sessid: 8 });
      return (await peer.received(1)).length === 1;
    };
    for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
      await writeFile(files.clientCa, second.cert);
      await stack.bridge.reloadCertificates?.();
      const socket = await dial(gameAddress, { ...second, maxVersion });
      const peer = new GamePeer(socket);
      const tickets: Buffer[] = [];
      socket.on("session", (ticket) => tickets.push(ticket));
      peer.send({ kind: "check", sessid: 8 });
      await peer.received(1);
      const session = tickets.at(-1) ?? socket.getSession();
      expect(await isServed({ ...second, maxVersion, ...(session && { session }) })).toBe(true);
      await writeFile(files.clientCa, third.cert);
      await stack.bridge.reloadCertificates?.();
      expect(await isServed({ ...second, maxVersion, ...(session && { session }) })).toBe(false);
      expect(await isServed({ ...third, maxVersion })).toBe(true);
      expect(peer.ended).toBe(false);
    }
  });

  it("accepts nobody more when the authority's file is empty, or holds something else", async () => {
    await writeFile(files.clientCa, second.cert);
    await open({ BRIDGE_TLS_CLIENT_CA: files.clientCa });
    for (const text of ["", "\n", "nobody", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"]) {
      await writeFile(files.clientCa, text);
      await stack.bridge.reloadCertificates?.();
      expect(stack.log.at(-1)).toContain("no certificates of an authority in PEM");
    }
    const stranger = new GamePeer(await dial(stack.bridge.gameAddress, third));
    expect(await stranger.untilEnded()).toEqual([]);
  });

  it.each(["BRIDGE_TLS_CERT", "BRIDGE_TLS_KEY", "BRIDGE_TLS_CLIENT_CA"])(
    "does not start if %s is an empty file",
    async (name) => {
      stack = await TestBridge.open();
      const empty = join(directory, "empty");
      await writeFile(empty, "");
      const variables = { BRIDGE_TLS_CERT: files.cert, BRIDGE_TLS_KEY: files.key, [name]: empty };
      const start = () => parseBridgeConfig({ EDGE_URL: stack.edge.url, API_KEY: "key", ...variables });
      expect(start).toThrow(name);
    },
  );

  it("has nothing to read if they were given as text", async () => {
    const text = { cert: first.cert, key: first.key };
    await open({
      ...{ BRIDGE_TLS_CERT: text.cert, BRIDGE_TLS_KEY: text.key, PLAYER_TLS_CERT: text.cert, PLAYER_TLS_KEY: text.key },
      ...{ CHECK_TLS_CERT: text.cert, CHECK_TLS_KEY: text.key },
    });
    expect(stack.bridge.reloadCertificates).toBeUndefined();
  });
});
