import { createHash } from "node:crypto";
import type { WebhookEndpoint } from "../config.ts";
import type { WebhookMessage } from "./webhook-message.ts";
import type { WebhookOutcome } from "./webhook-outbox.ts";

/** A receiver has so long for its response's headers (Standard Webhooks 1.0.0, "Request timeouts": 15 to 30 s). */
const DEADLINE_MS = 15_000;

const HMAC = { name: "HMAC", hash: "SHA-256" };

/** Posts messages to the receiver that WEBHOOK_URL and WEBHOOK_SECRET name. */
export class WebhookPoster {
  /** Of the receiver: another one if the address or a secret is another. */
  readonly digest: string;
  readonly #url: string;
  readonly #keys: Promise<readonly CryptoKey[]>;

  constructor({ url, secrets }: WebhookEndpoint) {
    const identity = new TextEncoder().encode([url, ...secrets.map((secret) => secret.toBase64())].join(" "));
    this.digest = createHash("sha256").update(identity).digest("base64url");
    this.#url = url;
    this.#keys = Promise.all(secrets.map((secret) => crypto.subtle.importKey("raw", secret, HMAC, false, ["sign"])));
  }

  /** Posts the message. Nothing of the response's body is read, and no redirect is followed. It does not reject. */
  async post(message: WebhookMessage): Promise<WebhookOutcome> {
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: await this.#headers(message, Math.floor(Date.now() / 1000)),
        body: message.body,
        redirect: "manual",
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
      response.body?.cancel().catch(() => undefined);
      if (response.ok) return { kind: "delivered" };
      if (response.status === 410) return { kind: "gone" };
      return { kind: "failed", error: String(response.status), retryAfterMs: retryAfterMs(response.headers) };
    } catch (error) {
      const isTimeout = error instanceof DOMException && error.name === "TimeoutError";
      return { kind: "failed", error: isTimeout ? "timeout" : "unreachable", retryAfterMs: null };
    }
  }

  /** Standard Webhooks 1.0.0, "Signature scheme" and "Webhook headers". */
  async #headers({ id, body }: WebhookMessage, timestamp: number): Promise<Record<string, string>> {
    const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
    const signatures = (await this.#keys).map(
      async (key) => `v1,${new Uint8Array(await crypto.subtle.sign(HMAC, key, signed)).toBase64()}`,
    );
    return {
      "Content-Type": "application/json",
      "User-Agent": "artoria",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": (await Promise.all(signatures)).join(" "),
    };
  }
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterMs(headers: Headers): number | null {
  const value = headers.get("Retry-After");
  if (value === null) return null;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return ms > 0 ? ms : null;
}
