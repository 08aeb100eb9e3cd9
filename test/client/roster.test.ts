import { describe, expect, it } from "vitest";
import { Roster } from "../../client/chat/roster.ts";
import { Presence } from "../../protocol/player-packets.ts";

function presence(offset: number, member: number, state: Presence, user = `user ${member}`) {
  return { kind: "presence", offset, member, state, user } as const;
}

function joined(epoch: number, resumed = false) {
  return { kind: "joined", member: 1, epoch, resumed } as const;
}

describe("Roster", () => {
  it("follows who joins, is away, is back and leaves, and reports each change once", () => {
    const roster = new Roster();
    const states = [Presence.Joined, Presence.Held, Presence.Held, Presence.Resumed, Presence.Left, Presence.Left];
    const news = states.map((state, at) => roster.presence(presence(at + 1, 2, state)));
    expect(news).toEqual(["joined", "held", undefined, "resumed", "left", undefined]);
    expect(roster.members).toEqual([]);
  });

  it("reports nothing for the list of current members", () => {
    const roster = new Roster();
    expect(roster.presence(presence(0, 2, Presence.Joined))).toBeUndefined();
    expect(roster.members).toEqual([{ member: 2, user: "user 2", held: false }]);
    expect(roster.presence(presence(7, 2, Presence.Joined))).toBeUndefined();
  });

  it("learns a member that joined before the history from a later packet", () => {
    const roster = new Roster();
    expect(roster.presence(presence(5, 2, Presence.Resumed))).toBeUndefined();
    expect(roster.members).toHaveLength(1);
    expect(roster.presence(presence(6, 3, Presence.Left))).toBeUndefined();
    expect(roster.members).toHaveLength(1);
  });

  it("starts again with a new seat and after a gap, but keeps the names of this log", () => {
    const roster = new Roster();
    roster.joined(joined(9));
    roster.presence(presence(1, 2, Presence.Joined));
    roster.joined(joined(9, true));
    expect(roster.members).toHaveLength(1);
    roster.gap();
    expect(roster.members).toEqual([]);
    expect(roster.nameOf(2)).toBe("user 2");
    roster.joined(joined(10));
    expect(roster.nameOf(2)).toBe("player 2");
    expect(roster.nameOf(0)).toBe("server");
  });

  it("shows names without control characters", () => {
    const roster = new Roster();
    roster.presence(presence(1, 2, Presence.Joined, "a\u001b[31m\nb\u202E"));
    expect(roster.nameOf(2)).toBe("a\uFFFD[31m b");
  });

  it("keeps a bounded number of names, and always those of the members", () => {
    const roster = new Roster();
    roster.presence(presence(1, 1, Presence.Joined));
    for (let member = 2; member < 5000; member++) {
      roster.presence(presence(member * 2, member, Presence.Joined));
      roster.presence(presence(member * 2 + 1, member, Presence.Left));
    }
    expect(roster.nameOf(1)).toBe("user 1");
    expect(roster.nameOf(4999)).toBe("user 4999");
    expect(roster.nameOf(2)).toBe("player 2");
  });
});
