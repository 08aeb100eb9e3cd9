import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { startWorldProgram, type WorldProgram } from "./world-program.ts";

/** A way to a port on loopback that takes time. */
export interface DelayedRoute {
  readonly port: number;
  /** Of the distance, there and back. */
  readonly roundTripMs: number;
}

/** Starts one process that listens once for each route; `ports` has their order. */
export function startDelayProxy(routes: readonly DelayedRoute[]): Promise<WorldProgram> {
  return startWorldProgram("delay proxy", fileURLToPath(import.meta.url), { routes });
}

/**
 * Passes what it receives on after `delayMs`, in order. Connections are made at once: whoever measures keeps them open. Node's
 * timers are up to 1 ms late, so each way takes up to 1 ms longer than it should.
 */
function passOn(from: Socket, to: Socket, delayMs: number): void {
  from.on("data", (chunk: Buffer) => setTimeout(() => to.write(chunk), delayMs));
  from.on("end", () => setTimeout(() => to.end(), delayMs));
  from.on("error", () => to.destroy());
  from.on("close", () => setTimeout(() => to.destroy(), delayMs));
}

async function listen({ port, roundTripMs }: DelayedRoute): Promise<number> {
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: "127.0.0.1", port, noDelay: true });
    passOn(near, far, roundTripMs / 2);
    passOn(far, near, roundTripMs / 2);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { routes } = JSON.parse(process.argv[2] ?? "{}") as { routes: readonly DelayedRoute[] };
  const ports: number[] = [];
  for (const route of routes) ports.push(await listen(route));
  process.on("disconnect", () => process.exit());
  process.send?.(ports);
}
