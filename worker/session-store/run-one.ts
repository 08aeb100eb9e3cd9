import type { ResponseTo, SessionRequest } from "../../protocol/session-request.ts";
import type { SessionStore } from "./session-store.ts";

/** Runs a single request. A store answers each request in its place and kind; another answer is a bug in the store. */
export async function runOne<R extends SessionRequest>(
  store: SessionStore,
  request: R,
): Promise<ResponseTo<R["kind"]>> {
  const [response] = await store.run([request]);
  if (response?.kind !== request.kind) throw new Error(`the store answered a ${request.kind} with a ${response?.kind}`);
  return response as ResponseTo<R["kind"]>;
}
