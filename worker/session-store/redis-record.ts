import { DEFAULT_GRANTS } from "../../protocol/session-request.ts";
import type { StoredSession } from "./stored-session.ts";

/** The fields of a record (redis-scripts/lua-record.ts, which writes it). */
interface RedisRecord {
  readonly e: number;
  readonly c: number;
  readonly u?: string;
  readonly p?: string;
  readonly h?: string;
  readonly g?: readonly string[];
}

/** The session of a record. Throws when the text is none: then something else than this store wrote it. */
export function parseRecord(sessid: number, text: string): StoredSession {
  const record = JSON.parse(text) as RedisRecord;
  return {
    session: {
      sessid,
      user: record.u ?? null,
      ip: record.p ?? null,
      createdAt: record.c,
      expiresAt: record.e,
      grants: record.g ?? DEFAULT_GRANTS,
    },
    secretHash: record.h ?? null,
  };
}
