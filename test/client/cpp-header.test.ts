import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { HEADER_BYTES, MAX_PLAYER_PACKET_BYTES, MAX_SERVICE_PACKET_BYTES } from "../../protocol/packet-framing.ts";
import {
  MAX_BODY_BYTES,
  MAX_DATAGRAM_BYTES,
  MAX_ROOM_BYTES,
  PLAYER_PACKET_TYPES,
} from "../../protocol/player-packets.ts";
import { MAX_RESOURCE_BYTES, MAX_SERVICE_KEY_BYTES, MAX_USER_BYTES } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status-codes.ts";
import { PACKAGE_VERSION, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";
import { MAX_POSITION_BYTES } from "../../protocol/watch-packets.ts";

const header = readFileSync(new URL("../../client/cpp/artoria.hpp", import.meta.url), "utf8");

/** The first group of `pattern` in the header. */
function definitionOf(pattern: RegExp): string {
  const [, value] = pattern.exec(header) ?? [];
  if (value === undefined) throw new Error(`the header has no ${pattern}`);
  return value;
}

/** The members of an enum and their values. */
function enumOf(name: string): Record<string, number> {
  const members = definitionOf(new RegExp(`enum class ${name} [^{]*\\{([^}]*)\\}`));
  return Object.fromEntries(
    [...members.matchAll(/(\w+) = (\d+)/g)].map(([, member, value]) => [member, Number(value)]),
  );
}

/** The programs of test/system/cpp.test.ts compile it; this needs no compiler. */
describe("artoria.hpp", () => {
  test("has the version of the package and of the wire protocol", () => {
    expect(definitionOf(/#define ARTORIA_VERSION "(.*)"/)).toBe(PACKAGE_VERSION);
    expect(definitionOf(/#define ARTORIA_WIRE_PROTOCOL_VERSION "(.*)"/)).toBe(WIRE_PROTOCOL_VERSION);
  });

  test.each([
    ["headerBytes", HEADER_BYTES],
    ["maxServicePacketBytes", MAX_SERVICE_PACKET_BYTES],
    ["maxPlayerPacketBytes", MAX_PLAYER_PACKET_BYTES],
    ["maxUserBytes", MAX_USER_BYTES],
    ["maxResourceBytes", MAX_RESOURCE_BYTES],
    ["maxPositionBytes", MAX_POSITION_BYTES],
    ["maxServiceKeyBytes", MAX_SERVICE_KEY_BYTES],
    ["maxRoomBytes", MAX_ROOM_BYTES],
    ["maxBodyBytes", MAX_BODY_BYTES],
    ["maxDatagramBytes", MAX_DATAGRAM_BYTES],
  ])("has the limit %s of the product", (name, limit) => {
    const sum = definitionOf(new RegExp(`constexpr std::size_t ${name} = ([^;]*);`))
      .replace("maxPlayerPacketBytes", String(MAX_PLAYER_PACKET_BYTES))
      .replace("headerBytes", String(HEADER_BYTES));
    expect(sum).toMatch(/^[\d\s()+*-]+$/);
    expect(Number(new Function(`return ${sum}`)())).toBe(limit);
  });

  test("has the product's statuses and Closed codes, by name and value", () => {
    expect(enumOf("Status")).toEqual(Status);
    expect(enumOf("ClosedCode")).toEqual(ClosedCode);
  });

  test("has each player packet with its type", () => {
    const types = [...header.matchAll(/^struct (\w+) \{\n {2}static constexpr std::uint16_t type = (\d+);/gm)];
    const ofPlayers = types
      .map(([, name = "", type]) => [name.toLowerCase(), Number(type)])
      .filter(([, type]) => Number(type) >= 256);
    expect(Object.fromEntries(ofPlayers)).toEqual(PLAYER_PACKET_TYPES);
  });
});
