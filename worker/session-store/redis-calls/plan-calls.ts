import type { PreparedRequest } from "../prepared-issue.ts";
import { CheckCall } from "./check-call.ts";
import { CountCall } from "./count-call.ts";
import { DeleteCall } from "./delete-call.ts";
import { IssueCall } from "./issue-call.ts";
import { ReadCall } from "./read-call.ts";
import type { RedisCall } from "./redis-call.ts";
import { RegisterCall } from "./register-call.ts";
import { DeleteUserCall, ListUserCall } from "./user-calls.ts";

/** The calls that serve a batch: its order is kept, and neighbours that one script can serve together share a call. */
export function planCalls(requests: readonly PreparedRequest[]): RedisCall[] {
  const calls: RedisCall[] = [];
  for (const request of requests) {
    if (!calls.at(-1)?.add(request)) calls.push(beginCall(request));
  }
  return calls;
}

function beginCall(request: PreparedRequest): RedisCall {
  switch (request.kind) {
    case "check":
      return new CheckCall(request);
    case "identify":
    case "checkAccess":
    case "get":
      return new ReadCall(request);
    case "register":
      return new RegisterCall(request);
    case "issue":
      return new IssueCall(request);
    case "delete":
      return new DeleteCall(request);
    case "listUser":
      return new ListUserCall(request);
    case "deleteUser":
      return new DeleteUserCall(request);
    case "count":
      return new CountCall(request);
  }
}
