import type { ServiceRequest, ServiceResponse } from "../../protocol/session-request.ts";
import { failedResponse } from "../../protocol/session-request.ts";
import { makeToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";

/** Sessions by sessid, in memory: what a {@link PacketEdge} answers from. Each has its user. */
export class SessionMap {
  readonly users = new Map<number, string>();
  #issued = 1_000_000;

  run(request: ServiceRequest): ServiceResponse {
    switch (request.kind) {
      case "check":
        return { kind: "check", status: this.users.has(request.sessid) ? Status.Ok : Status.NotFound };
      case "checkAccess":
        return { kind: "checkAccess", status: this.#access(request.sessid, request.resource) };
      case "register": {
        const owner = this.users.get(request.sessid);
        if (owner !== undefined && owner !== request.user) {
          return failedResponse("register", Status.Conflict) as ServiceResponse;
        }
        this.users.set(request.sessid, request.user ?? "");
        return { kind: "register", status: Status.Ok, created: owner === undefined, expiresAt: 0 };
      }
      case "delete": {
        const owner = this.users.get(request.sessid);
        if (owner === undefined) return { kind: "delete", status: Status.NotFound };
        if (owner !== request.user) return { kind: "delete", status: Status.Denied };
        this.users.delete(request.sessid);
        return { kind: "delete", status: Status.Ok };
      }
      case "count": {
        const users = new Set(this.users.values()).size;
        return { kind: "count", status: Status.Ok, sessions: this.users.size, users };
      }
      case "issue": {
        const sessid = this.#issued++;
        this.users.set(sessid, request.user ?? "");
        const token = makeToken(sessid, new Uint8Array(16).fill(7));
        return { kind: "issue", status: Status.Ok, sessid, token, expiresAt: 0 };
      }
    }
  }

  #access(sessid: number, resource: string): Status {
    if (!this.users.has(sessid)) return Status.NotFound;
    return resource.startsWith("open:") ? Status.Ok : Status.Denied;
  }
}
