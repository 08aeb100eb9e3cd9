import { fileURLToPath } from "node:url";
import { freePort } from "../harness/free-port.ts";
import { type Program, startNode } from "../harness/program.ts";
import type { LoopbackCertificate } from "../ours/loopback-certificate.ts";

export interface RunningSocketIo {
  readonly port: number;
  readonly program: Program;
}

/** A Socket.IO server, with a certificate over TLS. */
export async function startSocketIo(certificate?: LoopbackCertificate): Promise<RunningSocketIo> {
  const port = await freePort();
  const file = fileURLToPath(new URL("socket-io-server.ts", import.meta.url));
  const tls = certificate === undefined ? {} : { TLS_CERT: certificate.cert, TLS_KEY: certificate.key };
  return { port, program: await startNode({ name: "socket.io", file, port, env: { PORT: String(port), ...tls } }) };
}
