import { afterEach, beforeEach, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { PlayerBridge } from "../../support/peers/player-bridge.ts";
import { join, publish } from "../../support/peers/player-peer.ts";
import { RoomServer } from "../../support/rooms/room-server.ts";
import { until } from "../../support/until.ts";

let edge: RoomServer;
let first: PlayerBridge;
let second: PlayerBridge;
beforeEach(async () => {
  edge = await RoomServer.open({ retentionSeconds: 300 });
  const url = `http://127.0.0.1:${edge.httpPort}`;
  [first, second] = await Promise.all([PlayerBridge.open(url), PlayerBridge.open(url)]);
});
afterEach(async () => {
  await Promise.all([first.close(), second.close()]);
  await edge.close();
});

it("a bridge that drains closes its players with GoingAway, and they resume at another bridge without a loss", async () => {
  const [kim, lee] = [await first.connect(), await second.connect()];
  kim.send(join(1));
  lee.send(join(2));
  const { epoch, offset, member } = await kim.received("joined");
  await lee.received("joined");
  await until(() => edge.room.users.length === 2);
  kim.send(publish(1, "on its way"));
  const idle = await first.connect();
  const drained = first.bridge.drain();

  expect(await kim.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.GoingAway });
  expect(await idle.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.GoingAway });
  await until(() => edge.room.heldUsers.length === 1);
  lee.send(publish(1, "meanwhile"));
  await lee.received("deliver");

  const back = await second.connect();
  back.send(join(1, { epoch, delivered: offset, attempt: 2 }));
  const joined = await back.received("joined");
  expect(joined).toMatchObject({ resumed: true, member });
  if (joined.received === 0) back.send(publish(1, "on its way"));
  const texts = (): string[] =>
    back.packets.flatMap((packet) => (packet.kind === "deliver" ? [Buffer.from(packet.body).toString()] : []));
  await until(() => texts().length === 2);
  expect(texts().toSorted()).toEqual(["meanwhile", "on its way"]);
  kim.close();
  idle.close();
  await drained;
});

it("a bridge that drains relays all packets that it has received before it stops", async () => {
  const kim = await first.connect();
  kim.send(join(1));
  await kim.received("joined");
  const packets = Array.from({ length: 500 }, (_, at) => publish(at + 1, `${at + 1}`));
  kim.send(...packets);
  await until(async () => (await first.metric('packets_total{direction="to_room"}')) === 1 + packets.length);
  kim.close();
  await first.bridge.drain();
  await until(() => edge.room.heldUsers.length === 1);
  const log = edge.room.storage.read(0, 0, 1_000).filter(({ kind }) => kind === "message");
  expect(log).toHaveLength(packets.length);
});
