import type { ClientEvent } from "../../protocol/reliable/client/client-output.ts";

/** The events of a {@link ReliableConnection}: those of its machine, and why a single connection failed. */
export type ConnectionEvent =
  | ClientEvent
  /** For people to read: the machine reconnects by itself. */
  | { readonly kind: "connectionLost"; readonly reason: string };

/** The event of one kind. */
export type EventOf<K extends ConnectionEvent["kind"]> = Extract<ConnectionEvent, { readonly kind: K }>;

type Listener = (event: ConnectionEvent) => void;

/** The listeners of each kind of event. */
export class EventListeners {
  readonly #byKind = new Map<ConnectionEvent["kind"], Set<Listener>>();

  /** Adds a listener, and returns the function that removes it. */
  on<K extends ConnectionEvent["kind"]>(kind: K, listener: (event: EventOf<K>) => void): () => void {
    const listeners = this.#byKind.get(kind) ?? new Set();
    this.#byKind.set(kind, listeners);
    // dispatch() calls it only with events of its kind.
    const added: Listener = (event) => listener(event as EventOf<K>);
    listeners.add(added);
    return () => listeners.delete(added);
  }

  /** Calls the listeners of the event. One that throws does not disturb the others or the connection. */
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
