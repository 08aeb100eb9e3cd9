import { describe, expect, it } from "vitest";
import { ClosedCode, closedCodeName, closedCodeOfWebSocket, reconnectRule } from "../../protocol/closed-codes.ts";

/** docs/wire-protocol.md, "Player packets". */
const TABLE = [
  [1, "Left", "no"],
  [2, "Replaced", "no"],
  [3, "SessionInvalid", "no"],
  [4, "ProtocolError", "no"],
  [5, "RoomFull", "later"],
  [6, "TooSlow", "now"],
  [7, "GoingAway", "backoff"],
  [8, "Unavailable", "backoff"],
  [9, "Denied", "no"],
  [10, "TooFast", "later"],
] as const;

describe("closed codes", () => {
  it.each(TABLE)("%i is %s, reconnect: %s", (code, name, rule) => {
    expect(ClosedCode[name]).toBe(code);
    expect(closedCodeName(code)).toBe(name);
    expect(reconnectRule(code)).toBe(rule);
    expect(closedCodeOfWebSocket(4000 + code)).toBe(code);
  });

  it("lets a client reconnect after the back-off when it does not know the code", () => {
    expect(reconnectRule(77)).toBe("backoff");
    expect(closedCodeName(77)).toBe("Closed(77)");
  });

  it.each([1000, 1001, 1006, 4000, 5000])("has no code for the WebSocket close code %i", (closeCode) => {
    expect(closedCodeOfWebSocket(closeCode)).toBeUndefined();
  });

  it("has no other code", () => {
    expect(Object.keys(ClosedCode)).toHaveLength(TABLE.length);
  });
});
