import { parseToken } from "./session-token.ts";

/** The subprotocol of a WebSocket that carries player packets (Sec-WebSocket-Protocol, RFC 6455 §1.9). */
export const WEBSOCKET_SUBPROTOCOL = "artoria.v1";

/** Precedes a token in the list of subprotocols: a browser cannot set Authorization on a WebSocket. */
const TOKEN_PREFIX = "artoria.token.";

/** The subprotocols that a client offers. `token`: 27 characters of base64url; absent if a cookie authenticates the client. */
export function offeredSubprotocols(token?: string): string[] {
  return token === undefined ? [WEBSOCKET_SUBPROTOCOL] : [WEBSOCKET_SUBPROTOCOL, TOKEN_PREFIX + token];
}

/** The content of a Sec-WebSocket-Protocol header. */
export interface SubprotocolOffer {
  /** Whether the server must select {@link WEBSOCKET_SUBPROTOCOL}: a browser closes a WebSocket if none of its offers is selected. */
  readonly named: boolean;
  /** The token; `invalid` if it is malformed or there are two; undefined if there is none. */
  readonly token: Uint8Array<ArrayBuffer> | "invalid" | undefined;
}

/** Parses the header; undefined if the request has none. */
export function readSubprotocols(header: string | undefined): SubprotocolOffer {
  const offered = (header ?? "").split(",").map((name) => name.trim());
  const [text, second] = offered.filter((name) => name.startsWith(TOKEN_PREFIX));
  const named = offered.includes(WEBSOCKET_SUBPROTOCOL);
  if (text === undefined) return { named, token: undefined };
  if (second !== undefined) return { named, token: "invalid" };
  return { named, token: parseToken(text.slice(TOKEN_PREFIX.length)) ?? "invalid" };
}
