import type { Presence } from "../../player-packets.ts";
import type { ClientConnection, ClientState } from "./client-connection.ts";
import type { OutgoingMessage } from "./send-window.ts";

/** What the driver of a client machine must do, in order. A connection's number is never reused. */
export type ClientOutput =
  /** Open a connection, through any bridge or edge that leads to the room. */
  | { readonly kind: "dial"; readonly connection: number }
  /** Send these bytes: on a WebSocket they are one message. */
  | { readonly kind: "write"; readonly connection: number; readonly bytes: Uint8Array<ArrayBuffer> }
  /** Send this text message; on a WebSocket it is the heartbeat. */
  | { readonly kind: "writeText"; readonly connection: number; readonly text: "ping" }
  /** Close the connection after what was written. Its later events are ignored. */
  | { readonly kind: "close"; readonly connection: number }
  | { readonly kind: "event"; readonly event: ClientEvent };

/** What the client machine reports to its user. */
export type ClientEvent =
  | { readonly kind: "state"; readonly state: ClientState }
  /** The room gave a seat. If it was not resumed, it is a new one, with its own deliveries. */
  | { readonly kind: "joined"; readonly member: number; readonly epoch: number; readonly resumed: boolean }
  | MessageEvent
  /** With `offset` 0 it belongs to the list of current members. */
  | {
      readonly kind: "presence";
      readonly offset: number;
      readonly member: number;
      readonly state: Presence;
      readonly user: string;
    }
  | { readonly kind: "datagram"; readonly member: number; readonly body: Uint8Array }
  /** The entries `from`..`to` will not be delivered: an upper bound of what was lost. */
  | { readonly kind: "gap"; readonly from: number; readonly to: number }
  /** The room has acked every message up to this id. */
  | { readonly kind: "acked"; readonly id: number }
  /** The window has space again after a `send` that returned full. */
  | { readonly kind: "writable" }
  | { readonly kind: "handoverBegin" }
  | { readonly kind: "handoverEnd"; readonly gapMs: number; readonly replayed: number }
  /**
   * The seat is lost, or must be assumed lost after the retention. It is not known whether the room received the unacked
   * messages; they are not sent again. The machine continues with a fresh Join.
   */
  | {
      readonly kind: "handoverFailed";
      readonly reason: "retention" | "seatLost";
      readonly unacked: readonly OutgoingMessage[];
    }
  /** The room or a bridge closed the connection; the client reconnects as protocol/closed-codes.ts says. */
  | { readonly kind: "interrupted"; readonly code: number; readonly message: string }
  /** The machine has ended. `unacked` lists the messages that the room had not acked. */
  | {
      readonly kind: "closed";
      readonly code: number;
      readonly message: string;
      readonly unacked: readonly OutgoingMessage[];
    };

/** A reliable message of the room: each is delivered once, in order. */
export interface MessageEvent {
  readonly kind: "message";
  readonly offset: number;
  /** The sender's member number, 0 for the server. */
  readonly from: number;
  /** 0 is everybody, else this member alone. */
  readonly to: number;
  readonly body: Uint8Array;
}

/** The result of `send`. */
export type SendResult =
  /** The message waits for the room's Ack; `acked`, `handoverFailed` or `closed` will name its id. */
  | { readonly kind: "queued"; readonly id: number }
  /** The window is full: send again after `writable`. */
  | { readonly kind: "full" }
  | { readonly kind: "tooLarge"; readonly maxBytes: number }
  /** The machine has ended, or is about to. */
  | { readonly kind: "closed" };

/** Collects the outputs of a client machine until its driver takes them. */
export class ClientOutputs {
  #outputs: ClientOutput[] = [];
  #state: ClientState = "None";

  event(event: ClientEvent): void {
    this.#outputs.push({ kind: "event", event });
  }

  /** Reports the state if it has changed. */
  state(state: ClientState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.event({ kind: "state", state });
  }

  dial(connection: ClientConnection): void {
    this.#outputs.push({ kind: "dial", connection: connection.id });
  }

  textPing(connection: ClientConnection): void {
    this.#outputs.push({ kind: "writeText", connection: connection.id, text: "ping" });
  }

  /** Closes a connection after what was written to it. */
  close(connection: ClientConnection): void {
    this.#flush(connection);
    this.#outputs.push({ kind: "close", connection: connection.id });
  }

  take(connections: readonly ClientConnection[]): ClientOutput[] {
    for (const connection of connections) this.#flush(connection);
    const taken = this.#outputs;
    this.#outputs = [];
    return taken;
  }

  #flush(connection: ClientConnection): void {
    const bytes = connection.takeBytes();
    if (bytes !== undefined) this.#outputs.push({ kind: "write", connection: connection.id, bytes });
  }
}
