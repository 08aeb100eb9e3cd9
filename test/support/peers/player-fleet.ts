import { tlsTransport } from "../../../client/node/tls-transport.ts";
import { ReliableConnection } from "../../../client/reliable/reliable-connection.ts";

/** Where a fleet plays. */
export interface FleetOptions {
  readonly port: number;
  /** The certificate that the player port shows. */
  readonly ca: string;
  readonly room: string;
  /** One player for each session. */
  readonly tokens: readonly Uint8Array[];
}

/** Many players in one room, each with a real connection: what they published and received, and what happened to them. */
export class PlayerFleet {
  readonly players: readonly ReliableConnection[];
  /** How long each return to the room took, from the first sign of trouble until everything was replayed. */
  readonly gapsMs: number[] = [];
  /** Events that a reliable session promises not to have. */
  readonly troubles: string[] = [];
  readonly #received: readonly string[][];
  readonly #published: number[];
  #leaving = false;

  constructor({ port, ca, room, tokens }: FleetOptions) {
    this.#received = tokens.map(() => []);
    this.#published = tokens.map(() => 0);
    this.players = tokens.map((token, index) => {
      const transport = tlsTransport({ host: "127.0.0.1", port, token, trust: { ca } });
      const player = new ReliableConnection({ transport, room });
      player.on("message", ({ body }) => this.#received[index]?.push(Buffer.from(body).toString()));
      player.on("handoverEnd", ({ gapMs }) => this.gapsMs.push(gapMs));
      player.on("gap", ({ from, to }) => this.troubles.push(`player ${index} has a gap ${from}..${to}`));
      player.on("handoverFailed", ({ reason }) => this.troubles.push(`player ${index} lost its seat: ${reason}`));
      player.on("closed", ({ code, message }) => {
        if (!this.#leaving) this.troubles.push(`player ${index} was closed: ${code} ${message}`);
      });
      return player;
    });
  }

  /** Messages published so far; every player is to receive each of them. */
  get publishedCount(): number {
    return this.#published.reduce((sum, count) => sum + count, 0);
  }

  /** Players with a working connection. */
  get establishedCount(): number {
    return this.players.filter(({ state }) => state === "Established").length;
  }

  /** Whether every player has received as many messages as were published, and the room has acknowledged all of them. */
  get receivedAll(): boolean {
    const { publishedCount } = this;
    return (
      this.#received.every(({ length }) => length >= publishedCount) &&
      this.players.every(({ unackedMessages }) => unackedMessages === 0)
    );
  }

  connect(): void {
    for (const player of this.players) player.connect();
  }

  /** The player publishes its next message: its index and a count. */
  publish(index: number): void {
    const count = (this.#published[index] ?? 0) + 1;
    const sent = this.players[index]?.send(Buffer.from(`${index}:${count}`));
    if (sent?.kind === "queued") this.#published[index] = count;
    else this.troubles.push(`player ${index} could not send: ${sent?.kind}`);
  }

  /** Each player must receive every message once, those of one publisher in order, and all in the order of everybody else: what is not so. */
  faults(): string[] {
    const [first = []] = this.#received;
    const next = this.#published.map(() => 1);
    const faults = first.flatMap((message, at) => {
      const [player = -1, count] = message.split(":").map(Number);
      const expected = next[player];
      next[player] = (expected ?? 0) + 1;
      return count === expected ? [] : [`message ${at + 1} is ${message}, expected ${player}:${expected}`];
    });
    this.#published.forEach((count, player) => {
      if (next[player] !== count + 1)
        faults.push(`of player ${player}'s ${count}, ${(next[player] ?? 0) - 1} were received`);
    });
    this.#received.forEach((received, player) => {
      const at = received.findIndex((message, index) => message !== first[index]);
      if (at >= 0) faults.push(`player ${player} received ${received[at]} as message ${at + 1}, not ${first[at]}`);
      else if (received.length !== first.length)
        faults.push(`player ${player} received ${received.length} of ${first.length}`);
    });
    return faults;
  }

  async leave(): Promise<void> {
    this.#leaving = true;
    for (const player of this.players) player.disconnect();
    await Promise.all(this.players.map(({ closed }) => closed));
  }
}
