import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Bindings } from "../../../worker/app-env.ts";
import { createSession } from "../routes/edge-client.ts";
import { RoomPlayer } from "./room-player.ts";

let nextRoom = 0;

/** A room that no other test has. */
export function newRoom(): string {
  nextRoom += 1;
  return `room-${nextRoom}-${crypto.randomUUID()}`;
}

export function roomObject(room: string) {
  return (env as unknown as Bindings).ROOMS.getByName(room);
}

/** The room's clock goes `ms` ahead of the real one. Its alarm does not: {@link ringAlarm}. */
export async function setClockAhead(room: string, ms: number): Promise<void> {
  await runInDurableObject(roomObject(room), (object) => {
    object.nowMs = () => Date.now() + ms;
  });
}

/** Lets the room's alarm come now; returns whether one was set. */
export function ringAlarm(room: string): Promise<boolean> {
  return runDurableObjectAlarm(roomObject(room));
}

/** Takes the room's memory away; its sockets hibernate, or are lost with it. */
export async function evict(room: string, webSockets: "hibernate" | "close" = "hibernate"): Promise<void> {
  await evictDurableObject(roomObject(room), { webSockets });
}

/** A player with a session of its own, in the room. */
export async function joinAs(room: string, user: string): Promise<RoomPlayer> {
  return RoomPlayer.join(room, (await createSession({ user })).token);
}
