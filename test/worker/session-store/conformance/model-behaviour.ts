import fc from "fast-check";
import { expect, it } from "vitest";
import type { SessionRequest, SessionResponse } from "../../../../protocol/session-request.ts";
import { TOKEN_BYTES, TOKEN_SECRET_BYTES } from "../../../../protocol/session-token.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import { hashSecret } from "../../../../worker/session-store/secrets.ts";
import { sessionBatches } from "../../../support/histories/session-arbitraries.ts";
import { type ModelResponse, SessionModel } from "../../../support/histories/session-model.ts";
import type { StoreHarness } from "../store-harness.ts";

const CAP = 3;

/** Nothing expires while a slow machine runs a sequence. */
const IDLE_MS = 3_600_000;

/** Random batches get the answers of the model, and leave the store in order. */
export function modelBehaviour(harnessOf: () => StoreHarness): void {
  it("responds to random batches as the model does, and keeps its indices exact", async () => {
    const harness = harnessOf();
    const store = harness.open({ idleMs: IDLE_MS, maxMs: IDLE_MS, maxSessionsPerUser: CAP });
    const property = fc.asyncProperty(sessionBatches, async (sequence) => {
      await harness.clear();
      const model = new SessionModel(CAP);
      for (const batch of sequence) {
        const responses = await store.run(batch);
        expect(responses).toHaveLength(batch.length);
        for (const [index, request] of batch.entries()) {
          const response = responses[index];
          expect(response && seen(response), JSON.stringify(request)).toEqual(await expected(model, request, response));
        }
      }
      await harness.settle();
      expect(await harness.faults()).toEqual([]);
    });
    await fc.assert(property, { numRuns: 60 });
  });
}

/** An issue's sessid is the store's choice: the model learns it from the answer. */
async function expected(
  model: SessionModel,
  request: SessionRequest,
  response: SessionResponse | undefined,
): Promise<ModelResponse> {
  if (request.kind !== "issue") return model.respond(request);
  if (!model.admits(request.user)) return { status: Status.TooMany };
  if (response?.kind === "issue" && response.status === Status.Ok) {
    const secret = Uint8Array.from(response.token.subarray(TOKEN_BYTES - TOKEN_SECRET_BYTES));
    const { user, ip } = request;
    model.live.set(response.sessid, { user, ip, grants: ["*"], secretHash: await hashSecret(secret) });
  }
  return { status: Status.Ok };
}

/** A response without its times, its order of sessions and what only an issue's caller may know. */
function seen(response: SessionResponse): ModelResponse {
  const { status } = response;
  switch (response.kind) {
    case "register":
      return { status, created: response.created };
    case "count":
      return { status, counted: [response.sessions, response.users] };
    case "identify":
    case "get": {
      const { session } = response;
      return { status, session: session && { user: session.user, ip: session.ip, grants: session.grants } };
    }
    case "listUser":
      return { status, sessids: response.sessions.map(({ sessid }) => sessid).sort((a, b) => a - b) };
    case "deleteUser":
      return { status, deleted: response.deleted };
    default:
      return { status };
  }
}
