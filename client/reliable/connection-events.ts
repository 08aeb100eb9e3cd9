import type { ClientEvent } from "../../protocol/reliable/client/client-output.ts";

/** What a {@link ReliableConnection} tells: all that its machine does, and why a connection could not be made or ended. */
export type ConnectionEvent =
  | ClientEvent
  /** For people: the machine decides by itself what follows. */
  | { readonly kind: "connectionLost"; readonly reason: string };

/** The event of one kind. */
export type EventOf<K extends ConnectionEvent["kind"]> = Extract<ConnectionEvent, { readonly kind: K }>;

type Listener = (event: ConnectionEvent) => void;

/** Who wants to hear of which kind of event. */
export class EventListeners {
  readonly #byKind = new Map<ConnectionEvent["kind"], Set<Listener>>();

  /** Adds a listener; what is returned takes it away. */
  on<K extends ConnectionEvent["kind"]>(kind: K, listener: (event: EventOf<K>) => void): () => void {
    const listeners = this.#byKind.get(kind) ?? new Set();
    this.#byKind.set(kind, listeners);
    // dispatch() gives it events of its kind alone.
    const added: Listener = (event) => listener(event as EventOf<K>);
    listeners.add(added);
    return () => listeners.delete(added);
  }

  /** Calls the event's listeners. One that throws has a bug, which keeps nothing from the others or from the connection. */
  dispatch(event: ConnectionEvent): void {
    for (const listener of [...(this.#byKind.get(event.kind) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
