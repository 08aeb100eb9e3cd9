import { type Request, Response } from "miniflare";
import type { ScryptCost } from "../worker/password-hasher/password.ts";
import {
  type PasswordRequest,
  PasswordService,
  parseHashQueueLimits,
} from "../worker/password-hasher/password-service.ts";

/**
 * The worker's PASSWORD_HASHER. All workers of a workerd share one thread, so that a hash in any of them stops every check;
 * Node hashes in threads of its own. Tests choose a lower `cost`.
 */
export function hashInNode(
  variables: Readonly<Record<string, string>>,
  cost?: ScryptCost,
): (request: Request) => Promise<Response> {
  const service = new PasswordService(parseHashQueueLimits(variables), cost);
  return async (request) => {
    const { status, headers, body } = await service.handle((await request.json()) as PasswordRequest);
    return new Response(body, { status, headers: Object.fromEntries(headers) });
  };
}
