import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { askAsService } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";
import { TestReceiver, webhookSecret } from "../support/webhooks/test-receiver.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const API_KEY = "test-key";
const OLD_SECRET = webhookSecret(1);
const NEW_SECRET = webhookSecret(2);

let receiver: TestReceiver;
let edge: Edge;

beforeAll(async () => {
  receiver = await TestReceiver.open(OLD_SECRET);
  const variables = {
    API_KEYS: API_KEY,
    WEBHOOK_URL: receiver.url,
    WEBHOOK_SECRET: `${OLD_SECRET} ${NEW_SECRET}`,
    MAX_SESSIONS_PER_USER: "1",
    SESSION_LIMIT_POLICY: "evict-oldest",
  };
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables });
  // The first request starts the sender; what is read after the second is read after its start.
  await ask("GET", "/v1/count");
  const webhooks = await edge.miniflare.getDurableObjectNamespace("WEBHOOKS");
  await (webhooks.get(webhooks.idFromName("webhooks")) as unknown as { poke(): Promise<void> }).poke();
});

beforeEach(() => {
  receiver.messages.length = 0;
  receiver.respond = (response) => response.writeHead(204).end();
});

afterAll(async () => {
  await edge?.close();
  await receiver?.close();
});

function ask(method: string, path: string, body?: unknown): Promise<Response> {
  return askAsService({ edgeUrl: edge.url, apiKey: API_KEY }, method, path, body);
}

async function issue(user: string): Promise<number> {
  return ((await (await ask("POST", "/v1/sessions", { user })).json()) as { sessid: number }).sessid;
}

async function end(user: string): Promise<number> {
  const sessid = await issue(user);
  expect((await ask("DELETE", `/v1/sessions/${sessid}`)).status).toBe(204);
  return sessid;
}

describe("the end of a session", () => {
  test("is posted as the specification says, signed with each secret", async () => {
    const beganMs = Date.now();
    const sessid = await end("아르토리아");
    await receiver.until(() => receiver.messages.length === 1);
    const [message] = receiver.messages;
    const { headers = {}, body = "", data } = message ?? {};
    expect(JSON.parse(body)).toEqual({
      type: "session.ended",
      timestamp: new Date(data?.at ?? 0).toISOString(),
      data: { position: headers["webhook-id"], at: data?.at, reason: "deleted", sessid, user: "아르토리아" },
    });
    expect(Object.keys(JSON.parse(body))).toEqual(["type", "timestamp", "data"]);
    expect(data?.at).toBeGreaterThanOrEqual(beganMs);
    expect(headers).toMatchObject({ "content-type": "application/json", "user-agent": "artoria" });
    expect(headers["webhook-id"]).not.toContain(".");
    expect(new Webhook(NEW_SECRET).verify(body, headers as Record<string, string>)).toEqual(JSON.parse(body));
    expect(message?.path).toBe("/hook?from=artoria");
  });

  test("says why", async () => {
    const [first, second] = [await issue("lee"), await issue("lee")];
    await ask("DELETE", "/v1/users/lee/sessions");
    await receiver.until(() => receiver.messages.length === 2);
    expect(receiver.messages.map(({ data }) => [data.sessid, data.reason])).toEqual([
      [first, "evicted"],
      [second, "deleted"],
    ]);
  });
});

describe("a receiver", () => {
  test("that redirects gets the message again, and nobody else gets it", async () => {
    receiver.respond = (response) => response.writeHead(307, { Location: "/elsewhere" }).end();
    const redirected = await end("kim");
    await receiver.until(() => receiver.messages.length === 1);
    receiver.respond = (response) => response.writeHead(204).end();
    const other = await end("lee");
    // The second succeeds, so the first is tried again at once.
    await receiver.until(() => receiver.messages.length === 3);
    expect(receiver.messages.map(({ data, path }) => [data.sessid, path])).toEqual(
      [redirected, other, redirected].map((sessid) => [sessid, "/hook?from=artoria"]),
    );
    expect(receiver.faults).toEqual([]);
  });

  test("that answers 200 with an endless body holds up nothing, and is not read", async () => {
    let bytes = 0;
    let closed = 0;
    receiver.respond = (response) => {
      response.writeHead(200);
      const chunk = Buffer.alloc(64 * 1024);
      const write = (): void => {
        while (!response.destroyed && response.write(chunk)) bytes += chunk.length;
      };
      response.on("drain", write).on("close", () => (closed += 1));
      write();
    };
    const ended = [];
    for (const user of ["kim", "lee", "max", "noa", "ola", "pia", "quy"]) ended.push(await end(user));
    await receiver.until(() => receiver.messages.length === ended.length);
    expect(receiver.sessids).toEqual(ended);
    await until(() => closed === ended.length);
    expect(bytes).toBeLessThan(ended.length * 8 * 1024 * 1024);
  });
});
