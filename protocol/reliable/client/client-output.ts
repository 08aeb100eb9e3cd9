import type { Presence } from "../../player-packets.ts";
import type { ClientConnection, ClientState } from "./client-connection.ts";
import type { OutgoingMessage } from "./send-window.ts";

/** What the client machine wants done, in order. A `connection` is one connection; its number is never used again. */
export type ClientOutput =
  /** Open a connection, anywhere that leads to the room. */
  | { readonly kind: "dial"; readonly connection: number }
  /** Send these bytes: on a WebSocket they are one message. */
  | { readonly kind: "write"; readonly connection: number; readonly bytes: Uint8Array<ArrayBuffer> }
  /** Send this text message; on a WebSocket it is the heartbeat. */
  | { readonly kind: "writeText"; readonly connection: number; readonly text: "ping" }
  /** Close the connection after what was written. Nothing that it does later counts. */
  | { readonly kind: "close"; readonly connection: number }
  | { readonly kind: "event"; readonly event: ClientEvent };

/** What the client machine tells its user. */
export type ClientEvent =
  | { readonly kind: "state"; readonly state: ClientState }
  /** The room gave a seat. Not resumed, it is a new one: what was delivered before is another story. */
  | { readonly kind: "joined"; readonly member: number; readonly epoch: number; readonly resumed: boolean }
  | MessageEvent
  /** `offset` 0 is one line of who is there. */
  | {
      readonly kind: "presence";
      readonly offset: number;
      readonly member: number;
      readonly state: Presence;
      readonly user: string;
    }
  | { readonly kind: "datagram"; readonly member: number; readonly body: Uint8Array }
  /** The offsets `from`..`to` will not come: an upper bound of what was lost. */
  | { readonly kind: "gap"; readonly from: number; readonly to: number }
  /** The room has every message up to this id. */
  | { readonly kind: "acked"; readonly id: number }
  /** There is room again after a `send` that was full. */
  | { readonly kind: "writable" }
  | { readonly kind: "handoverBegin" }
  | { readonly kind: "handoverEnd"; readonly gapMs: number; readonly replayed: number }
  /**
   * The seat is lost, or must be taken for lost after the retention. Whether the room got these messages is not known,
   * and they are not sent again. The machine goes on to join anew.
   */
  | {
      readonly kind: "handoverFailed";
      readonly reason: "retention" | "seatLost";
      readonly unacked: readonly OutgoingMessage[];
    }
  /** The room or a relay closed the connection, but the client comes back: protocol/closed-codes.ts. */
  | { readonly kind: "interrupted"; readonly code: number; readonly message: string }
  /** The end: the machine does nothing any more. What the room had not acknowledged is listed. */
  | {
      readonly kind: "closed";
      readonly code: number;
      readonly message: string;
      readonly unacked: readonly OutgoingMessage[];
    };

/** A reliable message of the room: each comes once, in order. */
export interface MessageEvent {
  readonly kind: "message";
  readonly offset: number;
  /** The sender's member number, 0 for the server. */
  readonly from: number;
  /** 0 was for everybody, else for this member alone. */
  readonly to: number;
  readonly body: Uint8Array;
}

/** What became of a `send`. */
export type SendResult =
  /** It waits for the room's ack; `confirmed`, `handoverFailed` or `closed` will name the id. */
  | { readonly kind: "queued"; readonly id: number }
  /** The window is full: try again after `writable`. */
  | { readonly kind: "full" }
  | { readonly kind: "tooLarge"; readonly maxBytes: number }
  /** The machine has ended, or is about to. */
  | { readonly kind: "closed" };

/** Collects what the client machine wants done until its driver takes it. */
export class ClientOutputs {
  #outputs: ClientOutput[] = [];
  #state: ClientState = "None";

  event(event: ClientEvent): void {
    this.#outputs.push({ kind: "event", event });
  }

  /** Tells the state if it is another one. */
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

  /** Closes a connection behind what was written to it. */
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
