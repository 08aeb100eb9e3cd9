import type { RegisterRequest, Session } from "../../../../protocol/session-request.ts";
import { runOne, type SessionStore } from "../../../../worker/session-store/session-store.ts";

/** A register of `user`, kim unless the test cares. */
export function register(
  sessid: number,
  choice: Partial<Omit<RegisterRequest, "kind" | "sessid">> = {},
): RegisterRequest {
  return { kind: "register", sessid, user: "kim", ip: null, ...choice };
}

/** The status of one check. */
export async function check(store: SessionStore, sessid: number): Promise<number> {
  return (await runOne(store, { kind: "check", sessid })).status;
}

/** The session, null if it does not live. */
export async function get(store: SessionStore, sessid: number): Promise<Session | null> {
  return (await runOne(store, { kind: "get", sessid })).session;
}

/** The session; throws if it does not live. */
export async function live(store: SessionStore, sessid: number): Promise<Session> {
  const session = await get(store, sessid);
  if (session === null) throw new Error(`session ${sessid} does not live`);
  return session;
}

/** Sessions and users, as `[sessions, users]`. */
export async function count(store: SessionStore): Promise<[number, number]> {
  const { sessions, users } = await runOne(store, { kind: "count" });
  return [sessions, users];
}

/** The sessids of a user's sessions, the oldest first. */
export async function sessidsOf(store: SessionStore, user: string): Promise<number[]> {
  return (await runOne(store, { kind: "listUser", user })).sessions.map(({ sessid }) => sessid);
}
