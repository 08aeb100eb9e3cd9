import { parseToken } from "./session-token.ts";

/** What a WebSocket of player packets is called in Sec-WebSocket-Protocol (RFC 6455 §1.9), and what a server chooses. */
export const WEBSOCKET_SUBPROTOCOL = "artoria.v1";

/** In front of a token, which a browser can show in no other way: it may not set Authorization on a WebSocket. */
const TOKEN_PREFIX = "artoria.token.";

/** What a client offers; `token` is its 27 characters, absent where a cookie speaks for it. */
export function offeredSubprotocols(token?: string): string[] {
  return token === undefined ? [WEBSOCKET_SUBPROTOCOL] : [WEBSOCKET_SUBPROTOCOL, TOKEN_PREFIX + token];
}

/** What a Sec-WebSocket-Protocol header offers. */
export interface SubprotocolOffer {
  /** Whether the server must choose {@link WEBSOCKET_SUBPROTOCOL}: browsers end a connection that answers no offer. */
  readonly named: boolean;
  /** The token, `invalid` if there is something in its place that is none, or that is two. */
  readonly token: Uint8Array<ArrayBuffer> | "invalid" | undefined;
}

/** Reads the header; undefined is one that is absent. */
export function readSubprotocols(header: string | undefined): SubprotocolOffer {
  const offered = (header ?? "").split(",").map((name) => name.trim());
  const [text, second] = offered.filter((name) => name.startsWith(TOKEN_PREFIX));
  const named = offered.includes(WEBSOCKET_SUBPROTOCOL);
  if (text === undefined) return { named, token: undefined };
  if (second !== undefined) return { named, token: "invalid" };
  return { named, token: parseToken(text.slice(TOKEN_PREFIX.length)) ?? "invalid" };
}
