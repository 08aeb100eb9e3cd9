import { once } from "node:events";
import { request } from "node:http";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ReceivedWebhook, WebhookReceiver } from "../../client/webhook-receiver.ts";

const OLD = `whsec_${Buffer.alloc(24, 1).toString("base64")}`;
const NEW = `whsec_${Buffer.alloc(32, 2).toString("base64")}`;
const STRANGE = `whsec_${Buffer.alloc(32, 3).toString("base64")}`;
const BODY = JSON.stringify({ type: "session.ended", data: { sessid: 7, user: "아르토리아" } });

let receiver: WebhookReceiver;
let messages: ReceivedWebhook[];
let refusals: string[];

beforeEach(async () => {
  messages = [];
  refusals = [];
  receiver = await WebhookReceiver.open({
    host: "127.0.0.1",
    port: 0,
    secrets: [OLD, NEW],
    onMessage: (message) => messages.push(message),
    onRefused: (reason) => refusals.push(reason),
  });
});
afterEach(() => receiver.close());

/** The headers of a message that was signed so many seconds ago. */
function signed(body: string, secret = NEW, ageSeconds = 0): Record<string, string> {
  const sent = new Date(Math.floor(Date.now() / 1000 - ageSeconds) * 1000);
  return {
    "webhook-id": "1763775123456-0_1_a",
    "webhook-timestamp": String(sent.getTime() / 1000),
    "webhook-signature": new Webhook(secret).sign("1763775123456-0_1_a", sent, body),
  };
}

function post(body: string, headers: Record<string, string>): Promise<Response> {
  return fetch(receiver.url, { method: "POST", body, headers });
}

describe("WebhookReceiver", () => {
  it.each([
    ["either secret", signed(BODY, OLD)],
    ["either secret", signed(BODY, NEW)],
    ["one secret of several that the sender has", both(signed(BODY, STRANGE), signed(BODY, NEW))],
    ["a clock that is 290 s off", signed(BODY, NEW, 290)],
    ["a clock that is 290 s off", signed(BODY, NEW, -290)],
  ])("takes a message that is signed with %s", async (_, headers) => {
    const response = await post(BODY, headers);
    expect(response.status).toBe(204);
    expect(messages).toEqual([{ id: "1763775123456-0_1_a", payload: JSON.parse(BODY) }]);
    expect(refusals).toEqual([]);
  });

  it.each([
    ["another secret", 401, BODY, signed(BODY, STRANGE), /webhook-signature: not made of this body with this secret/],
    ["another body", 401, `${BODY} `, signed(BODY), /webhook-signature: not made of this body/],
    ["another id", 401, BODY, { ...signed(BODY), "webhook-id": "other" }, /webhook-signature: not made of this body/],
    ["a signature of another version", 401, BODY, reversioned(signed(BODY)), /webhook-signature/],
    ["half a signature", 401, BODY, { ...signed(BODY), "webhook-signature": "v1" }, /webhook-signature/],
    ["no signature", 400, BODY, without("webhook-signature"), /webhook-signature: the header is missing/],
    ["no id", 400, BODY, without("webhook-id"), /webhook-id: the header is missing/],
    ["no timestamp", 400, BODY, without("webhook-timestamp"), /webhook-timestamp: the header is missing/],
    ["an old timestamp", 400, BODY, signed(BODY, NEW, 400), /webhook-timestamp: 40\d s old, allowed are 300 s/],
    ["a future timestamp", 400, BODY, signed(BODY, NEW, -400), /webhook-timestamp: (400|39\d) s in the future/],
    ["no number", 400, BODY, { ...signed(BODY), "webhook-timestamp": "1e9" }, /webhook-timestamp: needed are seconds/],
    ["a signed body that is not JSON", 400, "{", signed("{"), /body: signed, but not JSON/],
    ["a body that is too long", 413, "x".repeat(65_537), signed("x"), /body: allowed are 65536 bytes/],
  ])("refuses %s and says why, to the sender too", async (_, status, body, headers, reason) => {
    const response = await post(body, headers);
    expect(response.status).toBe(status);
    expect(await response.text()).toMatch(reason);
    expect(refusals).toEqual([expect.stringMatching(reason)]);
    expect(messages).toEqual([]);
  });

  it("refuses every method but POST", async () => {
    expect((await fetch(receiver.url)).status).toBe(405);
    expect(refusals).toEqual(["GET: a webhook is a POST"]);
  });

  it("does not read more of an endless body than it allows, and takes messages meanwhile", async () => {
    const { port } = new URL(receiver.url);
    const endless = request({ host: "127.0.0.1", port, method: "POST", headers: { "Transfer-Encoding": "chunked" } });
    endless.on("error", () => {});
    const responded = once(endless, "response");
    for (let chunk = 0; chunk < 5; chunk++) endless.write(Buffer.alloc(16 * 1024));
    const [response] = await responded;
    expect(response.statusCode).toBe(413);
    endless.destroy();
    expect((await post(BODY, signed(BODY))).status).toBe(204);
  });

  it("survives a sender that leaves in the middle", async () => {
    const { port } = new URL(receiver.url);
    const leaving = request({ host: "127.0.0.1", port, method: "POST", headers: { "Content-Length": "100" } });
    leaving.on("error", () => {});
    leaving.write("{");
    await once(leaving, "socket");
    leaving.destroy();
    expect((await post(BODY, signed(BODY))).status).toBe(204);
    expect(refusals).toEqual([]);
  });
});

function both(first: Record<string, string>, second: Record<string, string>): Record<string, string> {
  return { ...second, "webhook-signature": `${first["webhook-signature"]} ${second["webhook-signature"]}` };
}

function reversioned(headers: Record<string, string>): Record<string, string> {
  return { ...headers, "webhook-signature": (headers["webhook-signature"] ?? "").replace("v1,", "v1a,") };
}

function without(name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(signed(BODY)).filter(([header]) => header !== name));
}
