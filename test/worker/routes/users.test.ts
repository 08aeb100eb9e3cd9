import { expect, it } from "vitest";
import { askAsService, createSession, newUser, problemOf } from "./edge-client.ts";

it("lists and ends all sessions of a user, also one whose name is percent-encoded", async () => {
  const user = `${newUser()}/아르토리아 %`;
  const path = `/v1/users/${encodeURIComponent(user)}/sessions`;
  const [first, second] = [await createSession({ user }), await createSession({ user })];
  const other = await createSession();

  const listed = await (await askAsService("GET", path)).json<{ sessions: { sessid: number; user: string }[] }>();
  expect(listed.sessions.map(({ sessid }) => sessid).sort()).toEqual([first.sessid, second.sessid].sort());
  expect(listed.sessions.every((session) => session.user === user)).toBe(true);

  expect(await (await askAsService("DELETE", path)).json()).toEqual({ deleted: 2 });
  expect(await (await askAsService("GET", path)).json()).toEqual({ sessions: [] });
  expect(await (await askAsService("DELETE", path)).json()).toEqual({ deleted: 0 });
  expect((await askAsService("GET", `/v1/sessions/${other.sessid}`)).status).toBe(200);
});

it.each(["%ff", "%E0%A4%A", "%", "%ED%A0%80"])("refuses a path that is not percent-encoded UTF-8: %s", async (user) => {
  const refused = await askAsService("DELETE", `/v1/users/${user}/sessions`);
  expect(await problemOf(refused)).toMatchObject({ code: "invalid", detail: "path: allowed is percent-encoded UTF-8" });
});

it("counts sessions and users exactly", async () => {
  const counted = async () => (await askAsService("GET", "/v1/count")).json<{ sessions: number; users: number }>();
  const before = await counted();
  const { user, sessid } = await createSession();
  await createSession({ user });
  expect(await counted()).toEqual({ sessions: before.sessions + 2, users: before.users + 1 });
  await askAsService("DELETE", `/v1/sessions/${sessid}`);
  expect(await counted()).toEqual({ sessions: before.sessions + 1, users: before.users + 1 });
  await askAsService("DELETE", `/v1/users/${user}/sessions`);
  expect(await counted()).toEqual(before);
});
