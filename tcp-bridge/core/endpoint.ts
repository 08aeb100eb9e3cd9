import type { SecureVersion } from "node:tls";

/** Where a port listens, and how. */
export interface Endpoint {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Absent: plaintext. */
  readonly tls?: TlsIdentity;
}

/** What a TLS port shows, and whom it believes. All texts are PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  /** Given, a peer must show a certificate of this authority (mutual TLS). */
  readonly clientCa?: string;
  readonly minVersion: SecureVersion;
}
