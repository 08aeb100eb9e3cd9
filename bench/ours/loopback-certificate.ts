import { generate } from "selfsigned";

/** A certificate that is its own authority, and its key, PEM. */
export interface LoopbackCertificate {
  readonly cert: string;
  readonly key: string;
}

/** What both sides of a measurement over TLS show: an EC key, so that a handshake costs neither of them an RSA signature. */
export async function loopbackCertificate(): Promise<LoopbackCertificate> {
  const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] },
    ],
  });
  return { cert, key };
}
