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

/** Many players in one room, each with a real connection: what they said, what they heard, and what became of them. */
export class PlayerFleet {
  readonly players: readonly ReliableConnection[];
  /** How long each return to the room took, from the first sign of trouble until everything was replayed. */
  readonly gapsMs: number[] = [];
  /** What a reliable session promises that does not happen. */
  readonly troubles: string[] = [];
  readonly #heard: readonly string[][];
  readonly #said: number[];
  #leaving = false;

  constructor({ port, ca, room, tokens }: FleetOptions) {
    this.#heard = tokens.map(() => []);
    this.#said = tokens.map(() => 0);
    this.players = tokens.map((token, index) => {
      const transport = tlsTransport({ host: "127.0.0.1", port, token, trust: { ca } });
      const player = new ReliableConnection({ transport, room });
      player.on("message", ({ body }) => this.#heard[index]?.push(Buffer.from(body).toString()));
      player.on("handoverEnd", ({ gapMs }) => this.gapsMs.push(gapMs));
      player.on("gap", ({ from, to }) => this.troubles.push(`player ${index} has a gap ${from}..${to}`));
      player.on("handoverFailed", ({ reason }) => this.troubles.push(`player ${index} lost its seat: ${reason}`));
      player.on("closed", ({ code, message }) => {
        if (!this.#leaving) this.troubles.push(`player ${index} was closed: ${code} ${message}`);
      });
      return player;
    });
  }

  /** Messages that were said, each of which everybody is to hear. */
  get saidCount(): number {
    return this.#said.reduce((sum, count) => sum + count, 0);
  }

  /** Players with a working connection. */
  get establishedCount(): number {
    return this.players.filter(({ state }) => state === "Established").length;
  }

  /** Whether everybody has heard as much as was said, and the room has acknowledged all of it. */
  get hasHeardAll(): boolean {
    const { saidCount } = this;
    const heardAll = this.#heard.every(({ length }) => length >= saidCount);
    return heardAll && this.players.every(({ unackedMessages }) => unackedMessages === 0);
  }

  connect(): void {
    for (const player of this.players) player.connect();
  }

  /** The player says its next message, which names it and counts. */
  speak(index: number): void {
    const count = (this.#said[index] ?? 0) + 1;
    const sent = this.players[index]?.send(Buffer.from(`${index}:${count}`));
    if (sent?.kind === "queued") this.#said[index] = count;
    else this.troubles.push(`player ${index} could not send: ${sent?.kind}`);
  }

  /** Who heard anything but every message once, each player's in its order, and all in the same order as everybody else. */
  faults(): string[] {
    const [first = []] = this.#heard;
    const next = this.#said.map(() => 1);
    const faults = first.flatMap((message, at) => {
      const [player = -1, count] = message.split(":").map(Number);
      const expected = next[player];
      next[player] = (expected ?? 0) + 1;
      return count === expected ? [] : [`message ${at + 1} is ${message}, expected ${player}:${expected}`];
    });
    this.#said.forEach((count, player) => {
      if (next[player] !== count + 1)
        faults.push(`of player ${player}'s ${count}, ${(next[player] ?? 0) - 1} were heard`);
    });
    this.#heard.forEach((heard, player) => {
      const at = heard.findIndex((message, index) => message !== first[index]);
      if (at >= 0) faults.push(`player ${player} heard ${heard[at]} as message ${at + 1}, not ${first[at]}`);
      else if (heard.length !== first.length) faults.push(`player ${player} heard ${heard.length} of ${first.length}`);
    });
    return faults;
  }

  async leave(): Promise<void> {
    this.#leaving = true;
    for (const player of this.players) player.disconnect();
    await Promise.all(this.players.map(({ closed }) => closed));
  }
}
