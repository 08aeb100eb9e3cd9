import { randomBytes } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { type RequestOptions, request } from "node:http";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseWorkerConfig } from "../worker/config.ts";
import type { EdgeConfig } from "./config.ts";
import type { EdgeBuild } from "./edge-build.ts";
import { startHostServices } from "./host-services.ts";
import { type EdgeSettings, END_REASON } from "./modules/edge-settings.ts";
import { lockStateDirectory, prepareStateDirectory } from "./state-directory.ts";
import { addressText, CONTROL_SOCKET, PUBLIC_SOCKET, workerdConfig } from "./workerd-config.ts";
import { WorkerdProcess } from "./workerd-process.ts";

/** A running edge. */
export interface Edge {
  /** Without a slash at its end. */
  readonly url: string;
  /** The process that serves it. */
  readonly workerdPid: number;
  /** Resolves when workerd has ended and what it used is cleaned up, with how it ended: an error, unless {@link close} was called. */
  readonly ended: Promise<string>;
  /**
   * Says on `/readyz` that it drains while it still answers, then ends WebSockets and streams, answers what is in flight, and ends
   * workerd: within 10 s.
   */
  close(): Promise<void>;
}

/** How an edge is started. */
export interface EdgeOptions {
  /** Until it resolves, requests wait and get no response; undefined: they never wait. */
  readonly opened?: Promise<void> | undefined;
  /** Takes the lines that workerd and the worker print, and those about the sweep. */
  readonly print: (line: string) => void;
}

/** As wrangler.toml's cron trigger. */
const SWEEP_INTERVAL_MS = 5 * 60 * 1000;

/** A sweep is several calls to the store, of 1 s at most each. */
const SWEEP_DEADLINE_MS = 60_000;

/** For the first request to the worker, with the migrations of the accounts. */
const START_DEADLINE_MS = 30_000;

/** What EDGE_DRAIN_MS (5 s at most), two of these and one of those take is less than 10 s. */
const STOP_CALL_DEADLINE_MS = 500;
/** For what is in flight when an edge ends: calls to the store, and leases that a delete waits for, take less by default. */
const END_DEADLINE_MS = 3500;

/**
 * Runs a build of the worker in workerd, and does what workerd must not or cannot do: it hashes passwords, and rings the sweep of the
 * session store.
 *
 * @throws Error one line for the operator: another edge uses the state, the port is taken, workerd does not start
 */
export async function startEdge(build: EdgeBuild, config: EdgeConfig, options: EdgeOptions): Promise<Edge> {
  // Only this user may enter it.
  const folder = await mkdtemp(join(tmpdir(), "artoria-edge-"));
  const used: { close(): unknown }[] = [{ close: () => rm(folder, { recursive: true, force: true }) }];
  const closeUsed = async () => {
    while (used.length > 0) await used.pop()?.close();
  };
  try {
    const stateDirectory = await openState(config, folder, used);
    const settings = edgeSettings(config, options);
    const { authorization } = settings;
    const hostServices = await startHostServices({
      socketPath: socketPath(folder, "host.sock"),
      authorization,
      variables: config.variables,
      opened: options.opened ?? Promise.resolve(),
    });
    used.push(hostServices);

    const environment = { ...config.variables, EDGE_SETTINGS: JSON.stringify(settings) };
    const controlPath = socketPath(folder, "control.sock");
    const configText = workerdConfig({
      build,
      config,
      environment: Object.keys(environment),
      hostAddress: hostServices.address,
      authorization,
      controlAddress: controlPath === undefined ? "127.0.0.1:0" : `unix:${controlPath}`,
      stateDirectory,
    });
    const { workerd, ports } = await runWorkerd({
      build,
      config,
      folder,
      configText,
      environment,
      print: options.print,
    });
    used.push({ close: () => workerd.end(0) });
    const place = controlPath === undefined ? { port: ports.get(CONTROL_SOCKET) } : { socketPath: controlPath };
    const control = (path: string, deadlineMs: number) =>
      askControl({ ...place, path, headers: { Authorization: authorization } }, deadlineMs);
    await control("/started", START_DEADLINE_MS);

    const sweep = setInterval(() => {
      control("/sweep", SWEEP_DEADLINE_MS).catch((error: Error) => options.print(`the sweep: ${error.message}`));
    }, SWEEP_INTERVAL_MS);
    sweep.unref();
    used.push({ close: () => clearInterval(sweep) });

    let closing: Promise<void> | undefined;
    const close = async () => {
      // These fail only if workerd is ending already.
      await control("/drain", STOP_CALL_DEADLINE_MS).catch(() => undefined);
      await Promise.race([pause(config.drainMs), workerd.ended]);
      await control("/end", STOP_CALL_DEADLINE_MS).catch(() => undefined);
      await workerd.end(END_DEADLINE_MS);
      await closeUsed();
    };
    const address = addressText({ host: config.host, port: ports.get(PUBLIC_SOCKET) ?? 0 });
    return {
      url: `${config.tls === undefined ? "http" : "https"}://${address}`,
      workerdPid: workerd.pid,
      ended: workerd.ended.then(async (how) => {
        await (closing ?? closeUsed());
        return how;
      }),
      close: () => {
        closing ??= close();
        return closing;
      },
    };
  } catch (error) {
    await closeUsed();
    throw error;
  }
}

/** What `sun_path` holds on Linux is 108 bytes, on macOS 104, with a zero at the end. */
const MAX_SOCKET_PATH_BYTES = 104 - 1;

/**
 * A unix socket in the folder. workerd on Windows has none, so it is a port of loopback there.
 *
 * @throws Error its path is too long
 */
function socketPath(folder: string, name: string): string | undefined {
  if (platform() === "win32") return undefined;
  const path = join(folder, name);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  throw new Error(`TMPDIR: allowed is a shorter path, of a folder for unix sockets; ${path} is too long`);
}

/** Takes the folder of the state for this edge. Returns it; undefined if the edge has no state. */
async function openState(
  { state }: EdgeConfig,
  folder: string,
  used: { close(): unknown }[],
): Promise<string | undefined> {
  if (state.kind === "primary") return undefined;
  const directory = state.directory ?? join(folder, "state");
  await prepareStateDirectory(directory);
  used.push(lockStateDirectory(directory));
  for (const name of ["do", "d1"]) await mkdir(join(directory, name), { recursive: true, mode: 0o700 });
  return directory;
}

function edgeSettings({ peers, state, variables }: EdgeConfig, { opened }: EdgeOptions): EdgeSettings {
  return {
    gated: opened !== undefined,
    peers: peers ?? null,
    primary: state.kind === "primary" ? { url: state.url, apiKeys: parseWorkerConfig(variables).apiKeys } : null,
    authorization: `Bearer ${randomBytes(32).toString("base64url")}`,
  };
}

interface WorkerdParts extends Pick<EdgeOptions, "print"> {
  readonly build: EdgeBuild;
  readonly config: Pick<EdgeConfig, "host" | "port">;
  readonly folder: string;
  readonly configText: string;
  readonly environment: Readonly<Record<string, string>>;
}

async function runWorkerd({ build, config, folder, configText, environment, print }: WorkerdParts) {
  // workerd reads modules beside its configuration.
  const modules = (await readdir(build.directory)).filter((file) => file.endsWith(".js"));
  await Promise.all(modules.map((file) => copyFile(join(build.directory, file), join(folder, file))));
  const configFile = join(folder, "config.capnp");
  await writeFile(configFile, configText, { mode: 0o600 });
  const sockets = [PUBLIC_SOCKET, CONTROL_SOCKET];
  try {
    const printOthers = (line: string): void => {
      if (!line.endsWith(`jsg.Error: ${END_REASON}`)) print(line);
    };
    return await WorkerdProcess.start({ configFile, folder, environment, sockets, print: printOthers });
  } catch (error) {
    const [, reason] = /Socket "public": (.*?)(?: \(os error \d+\))?$/.exec((error as Error).message) ?? [];
    if (reason === undefined) throw error;
    throw new Error(`EDGE_HOST, EDGE_PORT: nothing can listen on ${addressText(config)}: ${reason}`);
  } finally {
    // workerd has read it, and it may hold the key of the certificate.
    await rm(configFile);
  }
}

/** Asks the main module of workerd (modules/entry.ts). */
function askControl(asked: RequestOptions, deadlineMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request({ method: "POST", signal: AbortSignal.timeout(deadlineMs), ...asked }, (response) => {
      response.resume();
      if (response.statusCode === 204) resolve();
      else reject(new Error(`${asked.path} failed in workerd, which has said why`));
    });
    call.once("error", reject);
    call.end();
  });
}
