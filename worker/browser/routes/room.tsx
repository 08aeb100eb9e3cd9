import { Hono } from "hono";
import { isRoomName } from "../../../protocol/player-packets.ts";
import { RoomPage } from "../pages/room-page.tsx";
import { refusePage } from "../refuse-page.tsx";
import type { PageEnv } from "../visitor.ts";

/** `/rooms/{room}`: the room's chat. */
export const room = new Hono<PageEnv>().get("/:room", (c) => {
  const name = c.req.param("room");
  if (!isRoomName(name)) {
    return refusePage(c, "not_found", "No such room", "A room's name has 1 to 64 of A-Z a-z 0-9 _ . and -");
  }
  return c.html(<RoomPage room={name} visitor={c.get("visitor")} />);
});
