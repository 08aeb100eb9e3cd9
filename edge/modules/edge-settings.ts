/** What the program tells the main module of its workerd, as JSON in the variable EDGE_SETTINGS. */
export interface EdgeSettings {
  /** Whether requests wait until the program has opened the edge. */
  readonly gated: boolean;
  /** The addresses and networks that alone get answers, between commas; null: all do. */
  readonly peers: string | null;
  /** The edge that has the Durable Objects and accounts, and the keys of both; null: this edge has them. */
  readonly primary: { readonly url: string; readonly apiKeys: readonly string[] } | null;
  /** The Authorization of what the program and workerd ask each other. */
  readonly authorization: string;
}

/** Why the hubs are ended with their connections. workerd prints it as an error of each call that waits for one. */
export const END_REASON = "the edge ends";
