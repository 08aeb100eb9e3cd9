import { DurableObject } from "cloudflare:workers";
import { type PasswordRequest, PasswordService, parseHashQueueLimits } from "./password-service.ts";

/** The bindings of wrangler.toml beside this file. */
interface HasherBindings {
  readonly HASHERS: DurableObjectNamespace<PasswordHasher>;
}

/**
 * Computes one hash at a time, because an isolate does nothing else during one. It is a Durable Object so that no more of them
 * run than PASSWORD_HASHES_AT_ONCE allows, wherever the requests come from. It stores nothing.
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

/** A worker without an address: only a binding reaches it. */
export default {
  fetch(request, env) {
    const { atOnce } = parseHashQueueLimits(env);
    const index = Math.floor(Math.random() * atOnce);
    return env.HASHERS.getByName(String(index)).fetch(request);
  },
} satisfies ExportedHandler<HasherBindings>;
