import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { selfSigned } from "../support/peers/certificates.ts";
import { GamePeer } from "../support/peers/game-peer.ts";
import { PacketEdge } from "../support/peers/packet-edge.ts";
import { BridgeProgram } from "../support/processes/bridge-program.ts";
import { until } from "../support/until.ts";

let directory: string;
let edge: PacketEdge;
let bridge: BridgeProgram;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "artoria-certificates-"));
  edge = await PacketEdge.open();
  await issue("first");
});
afterEach(async () => {
  await bridge?.kill();
  await edge.close();
  await rm(directory, { recursive: true });
});

/** Puts a new certificate into `live/`, as certbot does: files of its own, to which links are renamed. */
async function issue(commonName: string): Promise<void> {
  const certificate = await selfSigned(commonName);
  for (const [name, text] of [
    ["tls.crt", certificate.cert],
    ["tls.key", certificate.key],
  ] as const) {
    const path = join(directory, name);
    await writeFile(`${path}.${commonName}`, text);
    await symlink(`${path}.${commonName}`, `${path}.link`);
    await rename(`${path}.link`, path);
  }
}

async function start(variables: Readonly<Record<string, string>> = {}): Promise<void> {
  const [cert, key] = [join(directory, "tls.crt"), join(directory, "tls.key")];
  bridge = await BridgeProgram.start({
    edgeUrl: edge.url,
    variables: {
      ...{ API_KEY: edge.apiKey, LOG_LEVEL: "info", PLAYER_PORT: "0" },
      ...{ BRIDGE_TLS_CERT: cert, BRIDGE_TLS_KEY: key, PLAYER_TLS_CERT: cert, PLAYER_TLS_KEY: key },
      ...variables,
    },
  });
}

/** The name in the certificate that openssl is shown. */
async function shown(): Promise<string | undefined> {
  const connected = promisify(execFile)("openssl", ["s_client", "-connect", `127.0.0.1:${bridge.gamePort}`]);
  connected.child.stdin?.end();
  const { stdout } = await connected;
  return /^subject=CN ?= ?(.*)$/m.exec(stdout)?.[1];
}

async function connectPeer(): Promise<GamePeer> {
  const socket = connect({ host: "127.0.0.1", port: bridge.gamePort, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return new GamePeer(socket);
}

test("SIGHUP has new connections get the new certificate, and a connection lives through it", async () => {
  await start();
  const peer = await connectPeer();
  expect(await shown()).toBe("first");
  await issue("second");
  bridge.signal("SIGHUP");
  await until(async () => (await shown()) === "second");
  peer.send({ kind: "check", sessid: 7 });
  expect(await peer.received(1)).toHaveLength(1);
  expect(peer.ended).toBe(false);
  peer.close();
  expect(await bridge.drain()).toBe(0);
});

test("a renewal is found without a signal, and what cannot be used is logged without what is in it", async () => {
  await start();
  await issue("second");
  await until(async () => (await shown()) === "second");
  const { key } = await selfSigned("another");
  await writeFile(join(directory, "tls.key.second"), key);
  await until(() => bridge.output.includes("cannot be used"));
  expect(await shown()).toBe("second");
  expect(bridge.output).not.toContain("BEGIN");
  expect(bridge.output).not.toContain(directory);
  await issue("third");
  await until(async () => (await shown()) === "third");
  expect(bridge.output.match(/cannot be used/g)).toHaveLength(2);
});
