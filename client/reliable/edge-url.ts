const WEB_SOCKET_PROTOCOLS: Readonly<Record<string, string>> = {
  "http:": "ws:",
  "https:": "wss:",
  "ws:": "ws:",
  "wss:": "wss:",
};

/**
 * Returns the function that gives the address of a room's WebSocket at this edge.
 *
 * @throws TypeError it is not the address of an edge
 */
export function roomAddresses(edgeUrl: string): (room: string) => URL {
  const protocol = WEB_SOCKET_PROTOCOLS[protocolOf(edgeUrl) ?? ""];
  if (protocol === undefined) throw new TypeError(`edgeUrl: "${edgeUrl}" does not begin with http:// or https://`);
  return (room) => {
    const url = new URL(`/v1/rooms/${room}/socket`, edgeUrl);
    url.protocol = protocol;
    return url;
  };
}

function protocolOf(text: string): string | undefined {
  try {
    return new URL(text).protocol;
  } catch {
    return undefined;
  }
}
