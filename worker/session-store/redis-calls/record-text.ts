/** What of a session its record says after its times and its owner. */
export interface RecordRest {
  readonly ip: string | null;
  readonly secretHash?: string;
  readonly grants?: readonly string[];
}

/** The owner's part of a record (redis-scripts/lua-record.ts); "" for nobody, or for whoever it is. */
export function ownerText(user: string | null | undefined): string {
  return user === null || user === undefined ? "" : `,"u":${JSON.stringify(user)}`;
}

/** The part of a record that follows its owner. */
export function restText({ ip, secretHash, grants }: RecordRest): string {
  const ipField = ip === null ? "" : `,"p":${JSON.stringify(ip)}`;
  const hashField = secretHash === undefined ? "" : `,"h":"${secretHash}"`;
  const grantsField = grants === undefined ? "" : `,"g":${JSON.stringify(grants)}`;
  return `${ipField}${hashField}${grantsField}}`;
}
