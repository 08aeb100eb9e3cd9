import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { Program } from "../support/processes/program.ts";
import { runInProcess } from "./run-in-process.ts";

function post(url: string, secret: string, body: string): Promise<Response> {
  const sent = new Date(Math.floor(Date.now() / 1000) * 1000);
  const headers = {
    "webhook-id": "p1",
    "webhook-timestamp": String(sent.getTime() / 1000),
    "webhook-signature": new Webhook(secret).sign("p1", sent, body),
  };
  return fetch(url, { method: "POST", body, headers });
}

const ENDED = JSON.stringify({
  type: "session.ended",
  timestamp: "2025-11-22T01:32:03.456Z",
  data: { position: "p1", at: 1_763_775_123_456, reason: "deleted", sessid: 7, user: "kim\u001b[2J" },
});

describe("artoria webhook listen", () => {
  it("makes a secret, says how to start the edge with it, prints what comes and ends at Ctrl-C", async () => {
    const listen = Program.node("client/command/main.ts", ["webhook", "listen", "--port", "0"]);
    try {
      const [, url = "", secret = ""] = await listen.prints(/WEBHOOK_URL=(\S+) WEBHOOK_SECRET=(\S+) npm start/);
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
      expect((await post(url, secret, ENDED)).status).toBe(204);
      const lost = '{"type":"session.events_lost","timestamp":"2025-11-22T01:32:03.456Z","data":{"position":"p1"}}';
      expect((await post(url, secret, lost)).status).toBe(204);
      const stranger = `whsec_${Buffer.alloc(32, 3).toString("base64")}`;
      expect((await post(url, stranger, ENDED)).status).toBe(401);
      await listen.prints(/refused/);
      listen.signal("SIGINT");
      expect(await listen.ended()).toBe(0);
      expect(listen.stdout).toBe(`2025-11-22T01:32:03.456Z session.ended deleted 7 kim\uFFFD[2J (id p1)\np1 ${lost}\n`);
      expect(listen.stderr).toMatch(/artoria: refused: webhook-signature: not made of this body with this secret/);
    } finally {
      await listen.kill();
    }
  });

  it.each([
    ["a port that is none", ["--port", "65536"]],
    ["a secret without its prefix", ["--secret", Buffer.alloc(32, 9).toString("base64")]],
    ["a secret that is not base64", ["--secret", "whsec_CQkJ!"]],
    ["one good secret and one bad one", ["--secret", `whsec_${Buffer.alloc(32, 9).toString("base64")} whsec_CQkJC`]],
    ["an address that is not this machine's", ["--host", "192.0.2.1", "--port", "0"]],
    ["an argument", ["here"]],
  ])("ends with 2 for %s, without printing a secret", async (_, args) => {
    const result = await runInProcess(["webhook", "listen", ...args]);
    expect(result).toMatchObject({ exitCode: 2, stdout: "" });
    expect(result.stderr).not.toBe("");
    expect(result.stderr).not.toContain("CQkJ");
  });
});
