import { expect, it } from "vitest";
import { hashSecret } from "../../../worker/session-store/secrets.ts";

// By `openssl dgst -sha256 -binary | basenc --base64url`. Another spelling would end every session that is stored.
it.each([
  ["0 to 15", Uint8Array.from({ length: 16 }, (_, at) => at), "vkXLJgW_Nr695oSEGijw_UPGmFCj3OX-26aZKO46iZE"],
  ["sixteen times 255", new Uint8Array(16).fill(255), "WsallF8WUAkRIZEpmEuos4egbyT-ODzk6BpzKUBlRhs"],
])("the hash of %s is SHA-256 in base64url without padding", async (_, secret, hash) => {
  expect(await hashSecret(secret)).toBe(hash);
});
