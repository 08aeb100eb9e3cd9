import { X509Certificate } from "node:crypto";
import { Gauge, type Registry } from "prom-client";
import type { TlsIdentity } from "../core/listener.ts";

/** What an operator has set up for a port. */
export interface PortSetup {
  readonly maxConnections: number;
  /** Undefined without TLS. */
  readonly tls: TlsIdentity | undefined;
}

/** Adds what does not change while the bridge runs: its version, and the limits and certificates of its ports. */
export function registerSetup(registry: Registry, version: string, ports: Readonly<Record<string, PortSetup>>): void {
  const registers = [registry];
  const info = new Gauge({
    name: "artoria_bridge_info",
    help: "1, with the version of the bridge",
    labelNames: ["version"],
    registers,
  });
  info.set({ version }, 1);
  const maxConnections = new Gauge({
    name: "artoria_bridge_max_connections",
    help: "Connections that a port takes at the same time: game, player or check",
    labelNames: ["port"],
    registers,
  });
  const certificates = new Gauge({
    name: "artoria_bridge_certificate_expiry_timestamp_seconds",
    help: "When the certificate that the bridge has loaded for a port expires, Unix time",
    labelNames: ["port"],
    registers,
  });
  for (const [port, { maxConnections: limit, tls }] of Object.entries(ports)) {
    maxConnections.set({ port }, limit);
    // Of a chain the first certificate is the port's own, and is read.
    if (tls !== undefined) certificates.set({ port }, Date.parse(new X509Certificate(tls.cert).validTo) / 1000);
  }
}
