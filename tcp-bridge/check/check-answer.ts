import { BELOW_CHECK, type HeaderReader, readCheck } from "../../protocol/check/check-request.ts";
import {
  allowCheck,
  type CheckResponse,
  type Provenance,
  refuseByStatus,
  refuseCheck,
} from "../../protocol/check/check-response.ts";
import type { ProblemCode } from "../../protocol/problem-document.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { Identity, SessionLookup } from "./edge-lookup.ts";

/** A request as an HTTP server received it. */
export interface ReceivedRequest {
  /** The request target, for example `/v1/check?resource=/shop`. */
  readonly target: string;
  /** Names and values in turn, as they came, one character for each byte. */
  readonly rawHeaders: readonly string[];
}

const WITHOUT_LOOKUP: Provenance = { source: "bridge", ageSeconds: 0 };

const CHECK_PATH = "/v1/check";

/** Answers a request to the check port, as the edge answers it (docs/http-api.md, "/v1/check"). At once if the lookup is. */
export function answerCheck(
  { target, rawHeaders }: ReceivedRequest,
  lookup: SessionLookup,
): CheckResponse | Promise<CheckResponse> {
  if (target !== CHECK_PATH) {
    const path = pathOf(target);
    if (path.startsWith(`${CHECK_PATH}/`)) return refuse(BELOW_CHECK.code, BELOW_CHECK.detail);
    if (path !== CHECK_PATH) return refuse("not_found", `no such route; here is ${CHECK_PATH}`);
  }
  const request = readCheck(target, headerReader(rawHeaders));
  if (request.kind === "refused") return refuse(request.code, request.detail);
  const identity = lookup.identify(request.token, request.resource);
  return identity instanceof Promise ? identity.then(respondTo) : respondTo(identity);
}

/** A refusal that no session was looked up for. */
export function refuse(code: ProblemCode, detail: string): CheckResponse {
  return refuseCheck(code, detail, WITHOUT_LOOKUP);
}

function respondTo(identity: Identity): CheckResponse {
  const { status, source } = identity;
  if (status === Status.Ok) return allowCheck(identity, { source, ageSeconds: 0 });
  // Nobody could be asked: that is nobody's information.
  const isVerdict = status === Status.NotFound || status === Status.Denied;
  return refuseByStatus(status, isVerdict ? { source, ageSeconds: 0 } : WITHOUT_LOOKUP);
}

/** The path of a target as the edge's router reads it: percent-decoded, without dot segments being resolved. */
function pathOf(target: string): string {
  // A proxy's form of the target (RFC 9112 §3.2.2).
  const origin = /^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i.exec(target)?.[0] ?? "";
  const path = target.slice(origin.length).split(/[?#]/, 1)[0] ?? "";
  // Only what the names of the route consist of.
  return path.replace(/%[2-7][\da-f]/gi, (encoded) => decodeURI(encoded));
}

/** Reads headers as workerd gives them to the edge. */
function headerReader(rawHeaders: readonly string[]): HeaderReader {
  return (name) => {
    const lowerName = name.toLowerCase();
    let value: string | undefined;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const other = rawHeaders[at];
      if (other?.length !== name.length || other.toLowerCase() !== lowerName) continue;
      const line = rawHeaders[at + 1] ?? "";
      // To workerd's parser, an empty first line of these two is none.
      const isNone = value === undefined || (value === "" && (name === "Authorization" || name === "Cookie"));
      value = isNone ? line : `${value}, ${line}`;
    }
    return value === undefined ? undefined : decodeUtf8(value);
  };
}

/** workerd decodes what a header carries as UTF-8, Node gives each byte as a character. */
function decodeUtf8(bytes: string): string {
  return /[\x80-\xff]/.test(bytes) ? Buffer.from(bytes, "latin1").toString() : bytes;
}
