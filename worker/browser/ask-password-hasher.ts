import type { PasswordRequest, PasswordResponse } from "../password-hasher/password-service.ts";

/** Too many passwords wait to be hashed: nothing was decided. */
export interface HasherBusy {
  readonly kind: "busy";
  readonly retryAfterSeconds: number;
}

/** Hashes a password that somebody chose, unless everybody uses it; `from` is what limits count the client by. */
export async function choosePassword(
  hasher: Fetcher,
  password: string,
  from: string,
): Promise<HasherBusy | Extract<PasswordResponse, { kind: "hashed" | "common" }>> {
  const response = await ask(hasher, { kind: "choose", password, from });
  if (response.kind === "verified") throw new Error("the hasher answered another question");
  return response;
}

/**
 * Compares a password with an account's PHC string. Without one, for a name that nobody has, it takes as long and does not
 * match. A known device (device-cookie.ts) does not wait behind strangers, and nobody behind all that `from` sends, which is what
 * limits count the client by. Where the hash was made with other parameters than today's, `newHash` is to take its place.
 */
export async function comparePassword(
  hasher: Fetcher,
  password: string,
  {
    phc,
    knownDevice,
    from,
  }: { readonly phc: string | undefined; readonly knownDevice: boolean; readonly from: string },
): Promise<HasherBusy | { readonly kind: "compared"; readonly matches: boolean; readonly newHash?: string }> {
  const verdict = await ask(hasher, { kind: "verify", password, phc: phc ?? null, urgent: knownDevice, from });
  if (verdict.kind === "busy") return verdict;
  if (verdict.kind !== "verified") throw new Error("the hasher answered another question");
  const { matches, outdated } = verdict;
  if (!matches || !outdated) return { kind: "compared", matches };
  const rehashed = await ask(hasher, { kind: "rehash", password, from });
  return { kind: "compared", matches, ...(rehashed.kind === "hashed" && { newHash: rehashed.hash }) };
}

async function ask(hasher: Fetcher, request: PasswordRequest): Promise<HasherBusy | PasswordResponse> {
  // A binding has no address; the name is nobody's (RFC 6761).
  const response = await hasher.fetch("https://password-hasher.invalid/", {
    method: "POST",
    body: JSON.stringify(request),
  });
  if (response.status === 503) {
    return { kind: "busy", retryAfterSeconds: Number(response.headers.get("Retry-After")) };
  }
  if (!response.ok) throw new Error("the password hasher failed");
  return response.json<PasswordResponse>();
}
