import { afterEach, beforeEach, expect, it } from "vitest";
import { webSocketTransport } from "../../client/node/web-socket-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import { MAX_PLAYER_PACKET_BYTES } from "../../protocol/packet-framing.ts";
import { decodePlayerPacket } from "../../protocol/player-packets.ts";
import { formatToken, makeToken } from "../../protocol/session-token.ts";
import { splitPackets } from "../support/packets/cut-and-mutate.ts";
import { RoomServer } from "../support/rooms/room-server.ts";
import { until } from "../support/until.ts";

const TOKEN = makeToken(7, new Uint8Array(16).fill(7));

let server: RoomServer;
let connection: ReliableConnection;

beforeEach(async () => {
  server = await RoomServer.open({ heartbeatSeconds: 1 });
  const transport = webSocketTransport({ edgeUrl: `http://127.0.0.1:${server.httpPort}`, token: TOKEN });
  connection = new ReliableConnection({ transport, room: "lobby" });
  connection.connect();
  await until(() => connection.state === "Established");
});
afterEach(async () => {
  connection.disconnect();
  await connection.closed;
  await server.close();
});

it("shows the token in the upgrade alone", () => {
  const shown = { url: "/v1/rooms/lobby/socket", authorization: `Bearer ${formatToken(TOKEN)}` };
  expect(server.upgrades).toEqual([{ ...shown, protocols: undefined }]);
  const [join] = splitPackets(MAX_PLAYER_PACKET_BYTES, server.messages).map(decodePlayerPacket);
  expect(join).toMatchObject({ kind: "join", token: new Uint8Array(20), room: "lobby" });
});

it("sends what one turn has as one message", async () => {
  server.messages.length = 0;
  for (let at = 0; at < 50; at++) connection.send(Buffer.from(`${at}`));
  await until(() => connection.unackedMessages === 0);
  const publishing = server.messages.filter((message) => {
    return splitPackets(MAX_PLAYER_PACKET_BYTES, [message]).some(
      (packet) => decodePlayerPacket(packet).kind === "publish",
    );
  });
  expect(publishing).toHaveLength(1);
});

it("asks by the text ping, which the runtime answers", async () => {
  await until(() => server.pings > 1);
  await until(() => connection.state === "Established");
});

it.each(["127.0.0.1:8787", "localhost:8787", "", "ftp://127.0.0.1"])(
  "refuses the edge %j before it dials",
  (edgeUrl) => {
    expect(() => webSocketTransport({ edgeUrl, token: TOKEN })).toThrow("does not begin with http:// or https://");
  },
);

it("refuses a token of another length", () => {
  expect(() => webSocketTransport({ edgeUrl: "http://127.0.0.1", token: TOKEN.subarray(1) })).toThrow("20 bytes");
});
