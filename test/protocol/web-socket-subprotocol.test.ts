import { describe, expect, it } from "vitest";
import { formatToken, makeToken } from "../../protocol/session-token.ts";
import { offeredSubprotocols, readSubprotocols } from "../../protocol/web-socket-subprotocol.ts";

const TOKEN = makeToken(7, new Uint8Array(16).fill(0xff));
const TEXT = formatToken(TOKEN);

describe("the subprotocols of a player's WebSocket", () => {
  it("carry a token that the server parses", () => {
    const header = offeredSubprotocols(TEXT).join(", ");
    expect(header).toBe(`artoria.v1, artoria.token.${TEXT}`);
    expect(readSubprotocols(header)).toEqual({ named: true, token: TOKEN });
  });

  it("carry no token when a cookie authenticates the player", () => {
    expect(readSubprotocols(offeredSubprotocols().join(", "))).toEqual({ named: true, token: undefined });
  });

  it("have names without separators, which a browser may offer (RFC 6455 §4.1)", () => {
    for (const name of offeredSubprotocols(TEXT)) expect(name).toMatch(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/);
  });

  it.each([
    ["no header", undefined, { named: false, token: undefined }],
    ["others' names", "chat, superchat", { named: false, token: undefined }],
    ["a token that is none", "artoria.v1, artoria.token.abc", { named: true, token: "invalid" }],
    ["an empty token", "artoria.token.", { named: false, token: "invalid" }],
    ["two tokens", `artoria.token.${TEXT}, artoria.token.${TEXT}`, { named: false, token: "invalid" }],
    ["no spaces", `artoria.v1,artoria.token.${TEXT}`, { named: true, token: TOKEN }],
  ])("are parsed with %s", (_what, header, offer) => {
    expect(readSubprotocols(header)).toEqual(offer);
  });
});
