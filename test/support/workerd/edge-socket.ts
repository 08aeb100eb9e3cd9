import { fileURLToPath } from "node:url";
import { CoreHeaders, type Plugin, SharedHeaders } from "miniflare";

const PLUGIN = "artoria-edge-socket";
const BINDING = "EDGE_SOCKET";

/** What only Miniflare's own parts say to each other, and what only Cloudflare says to a worker. */
const NOT_OF_CLIENTS = [...Object.values(CoreHeaders), ...Object.values(SharedHeaders), "CF-Connecting-IP"];

/** An entry of Miniflare's `unsafeBindings` that opens the socket at `address`. The worker gets no binding by it. */
export function edgeSocket(address: string) {
  const plugin = { package: fileURLToPath(import.meta.url), name: PLUGIN };
  return { name: BINDING, type: "socket", plugin, options: { address } };
}

/**
 * Miniflare loads this file as a plugin, whose socket leads into the worker itself. Miniflare's own sockets lead into its
 * entry worker, which takes the URL, the route, the `cf` object and more from headers (`MF-*`) that anybody can send, and
 * rewrites the URL, so that the worker does not see how a path was spelled. On this socket nothing reads a header before
 * the worker does, and `cf.clientIp` is who connected, whatever was sent.
 */
export const plugins: Readonly<Record<string, Plugin>> = {
  [PLUGIN]: {
    getBindings: () => undefined,
    getNodeBindings: () => ({}),
    getServices({ options: { config } }) {
      const binding = config.env?.[BINDING];
      if (binding === undefined) return undefined;
      const { address } = (binding as { dev: { options: { address: string } } }).dev.options;
      const socket = {
        name: PLUGIN,
        address,
        service: { name: `core:user:${config.name}` },
        // Without a value a header is removed, in any case and however often it was sent.
        http: { injectRequestHeaders: NOT_OF_CLIENTS.map((name) => ({ name })) },
      };
      return { services: [], extensions: [], sockets: [socket] };
    },
  },
};
