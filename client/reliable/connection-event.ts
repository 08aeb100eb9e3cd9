import type { ClientEvent } from "../../protocol/reliable/client/client-output.ts";

/** What a {@link ReliableConnection} tells: all that its machine does, and why a connection could not be made or ended. */
export type ConnectionEvent =
  | ClientEvent
  /** For people: the machine decides by itself what follows. */
  | { readonly kind: "pathLost"; readonly reason: string };

/** The event of one kind. */
export type EventOf<K extends ConnectionEvent["kind"]> = Extract<ConnectionEvent, { readonly kind: K }>;
