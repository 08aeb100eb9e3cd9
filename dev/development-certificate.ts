import { generate } from "selfsigned";

/** A certificate for the player port, and its private key; PEM. */
export interface DevelopmentCertificate {
  readonly cert: string;
  readonly key: string;
}

/**
 * Makes a self-signed certificate for this machine alone. Nobody can check who made it: players believe it by its
 * fingerprint, and production has its own (PLAYER_TLS_CERT).
 */
export async function developmentCertificate(): Promise<DevelopmentCertificate> {
  const { cert, private: key } = await generate([{ name: "commonName", value: "Artoria development" }], {
    keyType: "ec",
    extensions: [
      // Its own authority, so that --ca accepts it too.
      { name: "basicConstraints", cA: true },
      {
        name: "subjectAltName",
        altNames: [
          { type: 2, value: "localhost" },
          { type: 7, ip: "127.0.0.1" },
          { type: 7, ip: "::1" },
        ],
      },
    ],
  });
  return { cert, key };
}
