import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { joinPacket, RoomPlayer } from "../rooms/room-player.ts";
import { createSession } from "./edge-client.ts";

describe("the player WebSocket's subprotocols", () => {
  it("carry the token, and the server chooses artoria.v1", async () => {
    const { token } = await createSession();
    const response = await upgrade({ "Sec-WebSocket-Protocol": `artoria.v1, artoria.token.${token}` });
    expect(response.status).toBe(101);
    expect(response.headers.get("Sec-WebSocket-Protocol")).toBe("artoria.v1");

    const player = await RoomPlayer.dial("lobby", { "Sec-WebSocket-Protocol": `artoria.v1, artoria.token.${token}` });
    player.send(joinPacket("lobby"));
    expect(await player.first("joined")).toMatchObject({ resumed: false });
    player.send({ kind: "leave" });
    expect(await player.closed()).toBe(ClosedCode.Left);
  });

  it("are answered also if the upgrade is refused, so that the browser can read the reason", async () => {
    const offer = { "Sec-WebSocket-Protocol": `artoria.v1, artoria.token.${"A".repeat(27)}` };
    expect((await upgrade(offer)).headers.get("Sec-WebSocket-Protocol")).toBe("artoria.v1");
    expect(await (await RoomPlayer.dial("lobby", offer)).closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("are not answered if none is offered (RFC 6455 §4.2.2)", async () => {
    const { token } = await createSession();
    const response = await upgrade({ Authorization: `Bearer ${token}` });
    expect(response.headers.has("Sec-WebSocket-Protocol")).toBe(false);
  });

  it("take precedence over the cookie, also if their token is invalid", async () => {
    const { token } = await createSession();
    const cookie = { Cookie: `__Host-sid=${token}`, Origin: "https://edge.test" };
    const own = await RoomPlayer.dial("lobby", cookie);
    own.send(joinPacket("lobby"));
    expect(await own.first("joined")).toMatchObject({ resumed: false });
    const other = await RoomPlayer.dial("lobby", { ...cookie, "Sec-WebSocket-Protocol": "artoria.token.none" });
    expect(await other.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("need no Origin with a token, because only the page that has it can send it", async () => {
    const { token } = await createSession();
    const offer = { "Sec-WebSocket-Protocol": `artoria.v1, artoria.token.${token}`, Origin: "https://game.test" };
    const player = await RoomPlayer.dial("lobby", offer);
    player.send(joinPacket("lobby"));
    expect(await player.first("joined")).toMatchObject({ resumed: false });
  });
});

async function upgrade(headers: Record<string, string>): Promise<Response> {
  const address = "https://edge.test/v1/rooms/lobby/socket";
  const response = await exports.default.fetch(new Request(address, { headers: { Upgrade: "websocket", ...headers } }));
  response.webSocket?.accept();
  response.webSocket?.close();
  return response;
}
