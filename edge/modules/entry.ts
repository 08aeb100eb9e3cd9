import type { DurableObject } from "cloudflare:workers";
import * as v from "valibot";
import { type AddressRange, AddressRanges, isInRanges } from "../../config/address-ranges.ts";
import { ClosedCode, WEBSOCKET_CLOSE_BASE } from "../../protocol/closed-codes.ts";
import { PROBLEM_MEDIA_TYPE, problemDocument } from "../../protocol/problem-document.ts";
import type { Bindings } from "../../worker/app-env.ts";
import type { Database } from "../../worker/browser/accounts.ts";
import { peerAddress } from "../../worker/http/client-address.ts";
import worker from "../../worker/index.ts";
import type { Room, RoomBindings } from "../../worker/rooms/room.ts";
import { type EdgeSettings, END_REASON } from "./edge-settings.ts";
import { answerOrPass } from "./primary-edge.ts";

/** The bindings that are used here (edge/workerd-config.ts). */
interface EdgeEnv {
  readonly EDGE_SETTINGS: string;
  /** The program around workerd (edge/host-services.ts). */
  readonly HOST: Fetcher;
  readonly DB: Database;
  readonly ROOMS: DurableObjectNamespace<LeavingRoom>;
  readonly SESSION_HUB: DurableObjectNamespace<EndingHub>;
  readonly EVENT_HUB: DurableObjectNamespace<EndingHub>;
}

/** workerd runs one isolate of the worker, so this is of the whole process. */
const state = { isOpen: false, isDraining: false };
let parsed: (EdgeSettings & { readonly ranges: readonly AddressRange[] | null }) | undefined;

function settingsOf({ EDGE_SETTINGS }: Pick<EdgeEnv, "EDGE_SETTINGS">) {
  if (parsed !== undefined) return parsed;
  const settings = JSON.parse(EDGE_SETTINGS) as EdgeSettings;
  parsed = { ...settings, ranges: settings.peers === null ? null : v.parse(AddressRanges, settings.peers) };
  return parsed;
}

/** The requests of clients. */
export default { fetch: answer };

function answer(request: Request, env: EdgeEnv, ctx: ExecutionContext): Response | Promise<Response> {
  const { gated, ranges, primary } = settingsOf(env);
  if (ranges !== null && !isInRanges(peerAddress(request), ranges)) return new Response(null, { status: 403 });
  if (gated && !state.isOpen) return untilOpen(env).then(() => answer(request, env, ctx));
  if (state.isDraining && isForAnotherEdge(request)) return draining();
  const answerHere = (asked: Request) => worker.fetch(asked, env as unknown as Bindings, ctx);
  return primary === null ? answerHere(request) : answerOrPass(request, primary, answerHere);
}

async function untilOpen({ HOST }: EdgeEnv): Promise<void> {
  await HOST.fetch("http://host.invalid/opened");
  state.isOpen = true;
}

/** While this edge drains: the question whether to send it requests, and what would last longer than it does. */
function isForAnotherEdge(request: Request): boolean {
  const pathname = URL.parse(request.url)?.pathname;
  return pathname === "/readyz" || pathname === "/v1/events" || request.headers.has("Upgrade");
}

function draining(): Response {
  return new Response(problemDocument("unavailable", "draining"), {
    status: 503,
    headers: { "Content-Type": PROBLEM_MEDIA_TYPE, "Cache-Control": "no-store", "Retry-After": "1" },
  });
}

/** The program's timer, in place of Cloudflare's cron trigger. */
const NO_CRON: ScheduledController = { scheduledTime: 0, cron: "", noRetry() {} };

/** What the program around workerd asks, on a socket of its own. */
export const Control = {
  async fetch(request: Request, env: EdgeEnv): Promise<Response> {
    const { authorization, primary } = settingsOf(env);
    if (request.headers.get("Authorization") !== authorization) return new Response(null, { status: 401 });
    switch (new URL(request.url).pathname) {
      case "/started":
        // A migration that cannot be applied shows here.
        if (primary === null) await env.DB.prepare("SELECT 1").first();
        break;
      case "/sweep":
        await worker.scheduled(NO_CRON, env as unknown as Bindings);
        break;
      case "/drain":
        state.isDraining = true;
        break;
      case "/end":
        state.isDraining = true;
        if (primary === null) await endConnections(env);
        break;
      default:
        return new Response(null, { status: 404 });
    }
    return new Response(null, { status: 204 });
  },
};

/** Rooms that have WebSockets, by the ids of their objects. */
const rooms = new Set<string>();

/**
 * Ends what would last as long as the process. Players are told to return later; bridges and listeners of events lose their connection,
 * and dial again by themselves.
 */
async function endConnections(env: Pick<EdgeEnv, "ROOMS" | "SESSION_HUB" | "EVENT_HUB">): Promise<void> {
  const hubs = [env.SESSION_HUB.getByName("hub"), env.EVENT_HUB.getByName("events")];
  await Promise.allSettled([
    ...[...rooms].map((id) => env.ROOMS.get(env.ROOMS.idFromString(id)).leave()),
    // Each call fails with the object that it ends.
    ...hubs.map((hub) => hub.end()),
  ]);
}

interface LeavingRoom extends Rpc.DurableObjectBranded {
  leave(): void;
}

interface EndingHub extends Rpc.DurableObjectBranded {
  end(): void;
}

/** A class of rooms whose players can be told that the edge goes away. */
export function leavingRoom(Base: new (ctx: DurableObjectState, env: RoomBindings) => Room) {
  return class extends Base implements LeavingRoom {
    override async fetch(request: Request): Promise<Response> {
      const response = await super.fetch(request);
      this.#keepListed();
      return response;
    }

    override webSocketClose(socket: WebSocket): Promise<void> | undefined {
      this.#keepListed(socket);
      return super.webSocketClose(socket);
    }

    override webSocketError(socket: WebSocket): Promise<void> | undefined {
      this.#keepListed(socket);
      return super.webSocketError(socket);
    }

    #keepListed(gone?: WebSocket): void {
      const id = this.ctx.id.toString();
      if (this.ctx.getWebSockets().some((socket) => socket !== gone)) rooms.add(id);
      else rooms.delete(id);
    }

    leave(): void {
      const code = WEBSOCKET_CLOSE_BASE + ClosedCode.GoingAway;
      for (const socket of this.ctx.getWebSockets()) socket.close(code, "the edge restarts");
    }
  };
}

/** A class of hubs that can be ended with their connections, which are only in their memory. */
export function endingHub(Base: new (ctx: DurableObjectState, env: never) => DurableObject<unknown>) {
  return class extends Base implements EndingHub {
    end(): void {
      this.ctx.abort(END_REASON);
    }
  };
}
