/** What a session that was registered without grants may do: everything. */
export const DEFAULT_GRANTS: readonly string[] = ["*"];

/** A grant is an exact resource name, or a prefix that ends in `*`; `*` alone is everything. */
export function grantsAllow(grants: readonly string[], resource: string): boolean {
  return grants.some((grant) => (grant.endsWith("*") ? resource.startsWith(grant.slice(0, -1)) : grant === resource));
}
