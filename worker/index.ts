import { DurableObject } from "cloudflare:workers";
export class EmbeddedSessions extends DurableObject {}
export default { fetch: () => new Response("hi") };
