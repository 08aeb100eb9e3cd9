import { ByteReader, type ByteWriter } from "../packet-fields.ts";
import { ProtocolError } from "../packet-framing.ts";
import type { SessionRequest } from "../session-request.ts";

/**
 * The request header by which a bridge asks, on `POST /v1/packets`, for how long it may keep each session; its value is "1". The
 * response then has a keep block after its last packet (docs/http-api.md, "Service routes"). An edge that does not know the header
 * sends no block.
 */
export const KEEP_HEADER = "x-artoria-keep";

/**
 * The request header by which a bridge says, on `POST /v1/packets`, that it has posted the same packets before and got no response;
 * its value is "1". A register that evicts, say, finds done what the first did, and its response has to wait all the same until no
 * bridge answers by the sessions that were evicted.
 */
export const REPEAT_HEADER = "x-artoria-repeat";

/** For how long a bridge that holds a lease may answer by the session that a response was about. */
export interface Keep {
  /** From when the request was sent; 0: not at all. */
  readonly seconds: number;
  /** The session's grants, null if the block does not have them. */
  readonly grants: readonly string[] | null;
}

/** The response says nothing that may be kept. */
export const NO_KEEP: Keep = { seconds: 0, grants: null };

/** The requests whose responses have an entry in the block: `seconds u8`. */
type KeptKind = "check" | "checkAccess" | "identify";

const MAX_SECONDS = 0xff;

/** The length of grants that are left out because their JSON is as long as this number or longer. */
const GRANTS_LEFT_OUT = 0xffff;

/** Whether responses of this kind have an entry in the block. */
function hasKeep(kind: SessionRequest["kind"]): kind is KeptKind {
  return kind === "check" || kind === "checkAccess" || kind === "identify";
}

/**
 * Appends the entry of one response to the block; nothing for a kind that has none. `keepMs` is rounded down to whole seconds, at
 * most 255.
 */
export function writeKeep(
  writer: ByteWriter,
  kind: SessionRequest["kind"],
  keepMs: number,
  grants: readonly string[] | null,
): void {
  if (!hasKeep(kind)) return;
  const seconds = Math.min(Math.floor(keepMs / 1000), MAX_SECONDS);
  writer.u8(seconds);
  if (kind === "check" || seconds === 0) return;
  const json = grants === null ? "" : JSON.stringify(grants);
  // A character has at most 3 bytes of UTF-8, so most grants need not be encoded to know that they fit.
  const fits = json !== "" && (json.length * 3 < GRANTS_LEFT_OUT || utf8Bytes(json) < GRANTS_LEFT_OUT);
  if (fits) writer.string(json);
  else writer.u16(GRANTS_LEFT_OUT);
}

/** Reads the entries of a block, in the order of the requests. */
export class KeepReader {
  readonly #reader: ByteReader;

  constructor(block: Uint8Array) {
    this.#reader = new ByteReader(block);
  }

  /**
   * The entry of the next response.
   *
   * @throws ProtocolError the block ends too soon, or the grants are no JSON array of strings
   */
  next(kind: SessionRequest["kind"]): Keep {
    if (!hasKeep(kind)) return NO_KEEP;
    const seconds = this.#reader.u8("seconds");
    if (seconds === 0) return NO_KEEP;
    if (kind === "check") return { seconds, grants: null };
    return { seconds, grants: this.#grants() };
  }

  /** Call it after the last response: bytes after its entry are an error. */
  end(): void {
    this.#reader.end();
  }

  #grants(): readonly string[] | null {
    const length = this.#reader.u16("grants");
    if (length === GRANTS_LEFT_OUT) return null;
    const grants = parseJson(this.#reader.text(length, "grants"));
    if (!Array.isArray(grants) || !grants.every((grant) => typeof grant === "string")) {
      throw new ProtocolError("out_of_range", "grants: not a JSON array of strings");
    }
    return grants;
  }
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
}
