import { Hono } from "hono";
import { BRIDGE_HEADER, PACKAGE_VERSION_PATTERN, PROTOCOL_HEADER, spokenProtocol } from "../../protocol/versions.ts";
import type { AppEnv } from "../app-env.ts";
import { EDGE_VERSIONS, refuseProtocol } from "../http/bridge-protocol.ts";
import { clientAddress } from "../http/client-address.ts";
import { problem } from "../http/problem.ts";
import { openHub } from "../isolate.ts";
import { ADDRESS_HEADER } from "../leases/session-hub.ts";

/** `/v1/leases`: a bridge's WebSocket to the hub (worker/leases/session-hub.ts). */
export const leases = new Hono<AppEnv>().get("/", async (c) => {
  if (c.req.header("Upgrade")?.toLowerCase() !== "websocket") {
    return problem(c, "upgrade_required", "Upgrade: a WebSocket is needed here");
  }
  // Browsers send it with every WebSocket, bridges never do.
  if (c.req.header("Origin") !== undefined) return problem(c, "denied", "Origin: no browser may connect here");
  const [told = "", address] = [c.req.header(BRIDGE_HEADER), clientAddress(c, c.get("config"))];
  const version = PACKAGE_VERSION_PATTERN.test(told) ? told : null;
  const refusal = refuseProtocol(c);
  if (refusal !== undefined) {
    const protocol = spokenProtocol(c.req.header(PROTOCOL_HEADER));
    // For the console alone.
    c.executionCtx.waitUntil(
      openHub(c.env)
        .refused({ version, address, protocol })
        .catch(() => undefined),
    );
    return refusal;
  }
  try {
    // A request of its own: nothing else that the client has sent reaches the hub.
    const headers = new Headers({ Upgrade: "websocket" });
    if (version !== null) headers.set(BRIDGE_HEADER, version);
    if (address !== null) headers.set(ADDRESS_HEADER, address);
    const { webSocket } = await openHub(c.env).fetch("https://hub.invalid/", { headers });
    return webSocket === null
      ? problem(c, "too_many", "the hub has as many bridges as it may have")
      : new Response(null, { status: 101, webSocket, headers: EDGE_VERSIONS });
  } catch {
    // The hub is being moved, or is overloaded. A bridge dials again after its back-off.
    return problem(c, "unavailable", "the hub cannot be reached");
  }
});
