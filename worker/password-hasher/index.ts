import { DurableObject } from "cloudflare:workers";
import { type PasswordRequest, PasswordService, parseHashQueueLimits } from "./password-service.ts";

/** The bindings of wrangler.toml beside this file. */
interface HasherBindings {
  readonly HASHERS: DurableObjectNamespace<PasswordHasher>;
}

/**
 * One hash at a time: a Worker's scrypt stops all that its isolate does. It is a Durable Object so that there are as many of
 * them as hashes may run at once, wherever the requests come from. It keeps nothing.
 */
export class PasswordHasher extends DurableObject<HasherBindings> {
  readonly #service: PasswordService;

  constructor(ctx: DurableObjectState, env: HasherBindings) {
    super(ctx, env);
    const { atOnce, maxWaiting } = parseHashQueueLimits(env);
    this.#service = new PasswordService({ atOnce: 1, maxWaiting: Math.ceil(maxWaiting / atOnce) });
  }

  override async fetch(request: Request): Promise<Response> {
    return this.#service.handle(await request.json<PasswordRequest>());
  }
}

/** A worker without an address: only what has a binding to it can ask. */
export default {
  fetch(request, env) {
    const { atOnce } = parseHashQueueLimits(env);
    const index = Math.floor(Math.random() * atOnce);
    return env.HASHERS.getByName(String(index)).fetch(request);
  },
} satisfies ExportedHandler<HasherBindings>;
