import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions, type SecureVersion } from "node:tls";
import type { Logger } from "pino";

/** The certificate of a TLS port, and the clients that it accepts. All texts are PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  /** If given, a peer must show a certificate of this authority (mutual TLS). */
  readonly clientCa?: string;
  readonly minVersion: SecureVersion;
  /** The files of the texts, by their names above; absent if all of them were given as text. */
  readonly files?: TlsFiles;
}

export type TlsFiles = Readonly<Partial<Record<"cert" | "key" | "clientCa", string>>>;

/** What of an identity cannot be used: `pair` is no certificate and its private key, `client_ca` no certificates. */
export type IdentityFault = "pair" | "client_ca";

/**
 * What is wrong with an identity, undefined if it can be used. node:tls takes an empty text for none, and would then accept clients of
 * every public authority: so each text is parsed here.
 */
export function faultOfIdentity({ cert, key, clientCa }: Omit<TlsIdentity, "minVersion">): IdentityFault | undefined {
  try {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return "pair";
    createSecureContext({ cert, key });
  } catch {
    return "pair";
  }
  if (clientCa === undefined) return undefined;
  try {
    new X509Certificate(clientCa);
    createSecureContext({ ca: clientCa });
  } catch {
    return "client_ca";
  }
  return undefined;
}

/** As node:tls takes it, for a server and for `setSecureContext`. */
export function secureContextOptions({ cert, key, clientCa, minVersion }: TlsIdentity): SecureContextOptions {
  return { cert, key, minVersion, ...(clientCa === undefined ? {} : { ca: clientCa }) };
}

/** A port whose certificate can be replaced while it listens. */
export interface TlsPort {
  /** New connections get this certificate; open ones keep theirs. */
  useIdentity(identity: TlsIdentity): void;
}

export interface CertificateFilesOptions {
  /** The port's name, for the log. */
  readonly name: string;
  /** What the port uses. */
  readonly identity: TlsIdentity;
  readonly port: TlsPort;
  readonly logger: Pick<Logger, "info" | "warn">;
  /** How often the files are read. */
  readonly pollMs?: number;
}

/**
 * How often the files are read. Their contents are compared, because no event tells of every way in which they change: a symbolic link
 * above them (Kubernetes), a rename (certbot), a bind mount.
 */
const POLL_MS = 2_000;

/**
 * Follows the files of a port's certificate. A change counts when two reads have found it, or at {@link reload}: the files may be
 * replaced one after the other, and each may be half written. What cannot be used is logged once, and the port keeps what it has.
 */
export class CertificateFiles {
  readonly #options: CertificateFilesOptions;
  #identity: TlsIdentity;
  /** What the last read found, if it is not in use. */
  #seen: string | undefined;
  /** What was refused last. */
  #refused: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: CertificateFilesOptions) {
    this.#options = options;
    this.#identity = options.identity;
  }

  /** What the port uses now. */
  get identity(): TlsIdentity {
    return this.#identity;
  }

  start(): void {
    const again = (): void => {
      if (!this.#isStopped) this.start();
    };
    // It does not reject.
    this.#timer = setTimeout(() => void this.#poll().then(again), this.#options.pollMs ?? POLL_MS);
    this.#timer.unref();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** Reads the files and uses what they hold at once. Says in the log what came of it. */
  async reload(): Promise<void> {
    this.#refused = undefined;
    const found = await this.#read();
    if (found.text === textOf(this.#identity)) {
      this.#options.logger.info({ port: this.#options.name }, "the certificate's files have not changed");
    } else {
      this.#use(found);
    }
  }

  async #poll(): Promise<void> {
    const found = await this.#read();
    if (found.text === textOf(this.#identity)) {
      this.#seen = undefined;
      this.#refused = undefined;
    } else if (found.text === this.#seen) {
      this.#use(found);
    } else {
      this.#seen = found.text;
    }
  }

  #use({ text, identity, fault }: FoundIdentity): void {
    if (this.#isStopped || text === this.#refused) return;
    const { name, port, logger } = this.#options;
    const reason = identity === undefined ? fault : this.#faultOf(identity);
    if (identity === undefined || reason !== undefined) {
      this.#refused = text;
      logger.warn(
        { port: name, reason },
        "the certificate's files have changed and cannot be used: the port keeps the old certificate",
      );
      return;
    }
    port.useIdentity(identity);
    this.#identity = identity;
    this.#seen = undefined;
    logger.info({ port: name }, "the certificate was replaced: new connections get the new one");
  }

  #faultOf(identity: TlsIdentity): string | undefined {
    switch (faultOfIdentity(identity)) {
      case "pair":
        return "no certificate and its private key, both PEM";
      case "client_ca":
        return "no certificates of an authority in PEM";
      default:
        return undefined;
    }
  }

  /** What the files hold now, or why they cannot be read; `text` tells whether it is the same as before. */
  async #read(): Promise<FoundIdentity> {
    const { files = {} } = this.#identity;
    const texts: { -readonly [name in keyof TlsFiles]: string } = {};
    try {
      for (const [name, path] of Object.entries(files)) texts[name as keyof TlsFiles] = await readFile(path, "utf8");
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
      return { text: code, identity: undefined, fault: `a file cannot be read: ${code}` };
    }
    const identity = { ...this.#identity, ...texts };
    return { text: textOf(identity), identity, fault: undefined };
  }
}

interface FoundIdentity {
  readonly text: string;
  readonly identity: TlsIdentity | undefined;
  readonly fault: string | undefined;
}

function textOf({ cert, key, clientCa = "" }: TlsIdentity): string {
  return [cert, key, clientCa].join("\n");
}
