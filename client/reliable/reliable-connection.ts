import type { ClientLimits } from "../../protocol/reliable/client/client-config.ts";
import type { ClientState } from "../../protocol/reliable/client/client-connection.ts";
import { ClientMachine } from "../../protocol/reliable/client/client-machine.ts";
import type { ClientOutput, MessageEvent, SendResult } from "../../protocol/reliable/client/client-output.ts";
import type { ConnectionEvent, EventOf } from "./connection-events.ts";
import { EventListeners } from "./connection-events.ts";
import { MessageQueue } from "./message-queue.ts";
import type { Transport, TransportConnection } from "./transport.ts";

export interface ReliableConnectionOptions {
  readonly transport: Transport;
  /** 1..64 of `[A-Za-z0-9_.-]`. */
  readonly room: string;
  readonly limits?: Partial<ClientLimits>;
}

/** A late datagram is useless: one that would wait behind this many bytes is dropped. */
const MAX_DATAGRAM_BACKLOG_BYTES = 64 * 1024;

/**
 * A player's connection to a room that survives its sockets: each message arrives once and in order, also when the player
 * changes networks (docs/architecture.md, "Reliable sessions and rooms"). It drives a {@link ClientMachine}, which
 * makes all decisions; the driver adds sockets and a clock.
 *
 * Events are dispatched after the call that caused them, never within it. Packets of one tick of the event loop are one write.
 */
export class ReliableConnection implements AsyncIterable<MessageEvent> {
  /** Resolves with the last event, `closed`. */
  readonly closed: Promise<EventOf<"closed">>;
  readonly #machine: ClientMachine;
  readonly #transport: Transport;
  readonly #room: string;
  readonly #connections = new Map<number, TransportConnection>();
  readonly #listeners = new EventListeners();
  readonly #queues = new Set<MessageQueue>();
  #ended = false;
  #flushScheduled = false;
  #datagramBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ transport, room, limits = {} }: ReliableConnectionOptions) {
    this.#transport = transport;
    this.#room = room;
    const { heartbeat, joinToken: token } = transport;
    this.#machine = new ClientMachine({ token, room, heartbeat, epochMs: Date.now, random: Math.random, limits });
    this.closed = new Promise((resolve) => this.on("closed", resolve));
  }

  get state(): ClientState {
    return this.#machine.state;
  }

  /** This player's number in the room, 0 before it was given a seat. */
  get member(): number {
    return this.#machine.member;
  }

  /** How many messages the room has not acked. */
  get unackedMessages(): number {
    return this.#machine.unackedMessages;
  }

  /** Starts: from now on it keeps a connection until {@link disconnect}, or until the room refuses it for good. */
  connect(): void {
    this.#call((nowMs) => this.#machine.connect(nowMs));
  }

  /**
   * Publishes a reliable message (at most MAX_BODY_BYTES, copied) to everybody, or to one member. Without a connection it waits
   * for the next one. After `full`, send again when the event `writable` comes.
   */
  send(body: Uint8Array, to = 0): SendResult {
    return this.#call((nowMs) => this.#machine.send(body, to, nowMs));
  }

  /** Sends an unreliable message; false if it was dropped at once. */
  datagram(body: Uint8Array): boolean {
    const backlogBytes = [...this.#connections.values()].reduce(
      (sum, connection) => sum + connection.bufferedBytes,
      this.#datagramBytes,
    );
    if (backlogBytes + body.byteLength > MAX_DATAGRAM_BACKLOG_BYTES) return false;
    const sent = this.#call((nowMs) => this.#machine.datagram(body, nowMs));
    if (sent) this.#datagramBytes += body.byteLength;
    return sent;
  }

  /** Leaves the room for good; {@link closed} resolves when that is done. */
  disconnect(): void {
    this.#call((nowMs) => this.#machine.disconnect(nowMs));
  }

  /** The network has changed: the connection is pinged at once, and replaced if there is no response. */
  networkChanged(): void {
    this.#call((nowMs) => this.#machine.networkChanged(nowMs));
  }

  /** Calls `listener` for each event of this kind, until the returned function is called. */
  on<K extends ConnectionEvent["kind"]>(kind: K, listener: (event: EventOf<K>) => void): () => void {
    return this.#listeners.on(kind, listener);
  }

  /**
   * The messages from now on, until the connection ends. For a slow consumer, Acks are withheld from 256 KiB on, so that the
   * room sends at most its window more: memory stays bounded, and nothing is lost while the room keeps the seat.
   */
  messages(): AsyncIterableIterator<MessageEvent, undefined> {
    const queue = new MessageQueue(() => this.#holdAcksIfFull());
    if (this.#ended) queue.end();
    else this.#queues.add(queue);
    return queue;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<MessageEvent, undefined> {
    return this.messages();
  }

  #call<T>(action: (nowMs: number) => T): T {
    const result = action(performance.now());
    if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      queueMicrotask(() => this.#flush());
    }
    return result;
  }

  #flush(): void {
    this.#flushScheduled = false;
    this.#datagramBytes = 0;
    for (const output of this.#machine.takeOutputs(performance.now())) this.#execute(output);
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    const { deadlineMs } = this.#machine;
    if (deadlineMs === undefined) return;
    const delayMs = Math.max(0, Math.ceil(deadlineMs - performance.now()));
    this.#timer = setTimeout(() => this.#call((nowMs) => this.#machine.tick(nowMs)), delayMs);
  }

  #execute(output: ClientOutput): void {
    switch (output.kind) {
      case "event":
        this.#dispatch(output.event);
        break;
      case "dial":
        this.#dial(output.connection);
        break;
      case "write":
        this.#connections.get(output.connection)?.write(output.bytes);
        break;
      case "writeText":
        this.#connections.get(output.connection)?.writeText(output.text);
        break;
      case "close":
        this.#connections.get(output.connection)?.close();
        this.#connections.delete(output.connection);
        break;
    }
  }

  #dial(id: number): void {
    if ([...this.#queues].some(({ isSwamped }) => isSwamped)) {
      // Each new connection may add another window of replayed messages. The machine reconnects after its back-off.
      this.#call((nowMs) => this.#machine.lost(id, nowMs));
      return;
    }
    const connection = this.#transport.open(this.#room, {
      connected: () => this.#call(() => this.#machine.connected(id)),
      opened: () => this.#call((nowMs) => this.#machine.opened(id, nowMs)),
      received: (bytes) => this.#call((nowMs) => this.#machine.received(id, bytes, nowMs)),
      receivedText: () => this.#call((nowMs) => this.#machine.receivedText(id, nowMs)),
      lost: (reason, code) => {
        // The later events of a connection that this side closed are ignored.
        if (!this.#connections.delete(id)) return;
        this.#listeners.dispatch({ kind: "connectionLost", reason });
        this.#call((nowMs) => this.#machine.lost(id, nowMs, code));
      },
    });
    this.#connections.set(id, connection);
  }

  #dispatch(event: ConnectionEvent): void {
    if (event.kind === "message") for (const queue of this.#queues) queue.push(event);
    if (event.kind === "closed") this.#end();
    this.#listeners.dispatch(event);
  }

  #end(): void {
    this.#ended = true;
    for (const queue of this.#queues) queue.end();
  }

  #holdAcksIfFull(): void {
    for (const queue of this.#queues) if (queue.isEnded) this.#queues.delete(queue);
    const held = [...this.#queues].some(({ isFull }) => isFull);
    this.#call(() => this.#machine.holdAcks(held));
  }
}
