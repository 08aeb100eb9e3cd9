import type { SessionRequest, SessionResponse } from "./session-request.ts";
import { TOKEN_BYTES } from "./session-token.ts";
import type { Status } from "./status.ts";

/** The response that says only why: `status`, and every other field 0, empty or null. */
export function failedResponse(kind: SessionRequest["kind"], status: Status): SessionResponse {
  switch (kind) {
    case "check":
    case "delete":
    case "checkAccess":
      return { kind, status };
    case "register":
      return { kind, status, created: false, expiresAt: 0 };
    case "count":
      return { kind, status, sessions: 0, users: 0 };
    case "issue":
      return { kind, status, sessid: 0, token: new Uint8Array(TOKEN_BYTES), expiresAt: 0 };
    case "identify":
    case "get":
      return { kind, status, session: null };
    case "listUser":
      return { kind, status, sessions: [] };
    case "deleteUser":
      return { kind, status, deleted: 0 };
  }
}
