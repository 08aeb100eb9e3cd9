import { type Request, Response } from "miniflare";
import {
  type PasswordRequest,
  PasswordService,
  parseHashQueueLimits,
} from "../worker/password-hasher/password-service.ts";

/**
 * The worker's PASSWORD_HASHER. All workers of a workerd share one thread, so that a hash in any of them stops every check;
 * Node hashes in threads of its own.
 */
export function hashInNode(variables: Readonly<Record<string, string>>): (request: Request) => Promise<Response> {
  const service = new PasswordService(parseHashQueueLimits(variables));
  return async (request) => {
    const { status, headers, body } = await service.handle((await request.json()) as PasswordRequest);
    return new Response(body, { status, headers: Object.fromEntries(headers) });
  };
}
