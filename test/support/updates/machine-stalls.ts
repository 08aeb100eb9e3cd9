import { spawn } from "node:child_process";

/** A time in which the machine let a bystander wait: ms since the epoch. */
interface Stall {
  readonly from: number;
  readonly to: number;
}

/** A check that no bridge answers passes HAProxy, a bridge, HAProxy, an edge, redis-rest and Redis, and comes back through them. */
const PROGRAMS_OF_A_CHECK = 6;
const EVERY_MS = 10;

/** Now, on the clock of {@link MachineStalls}. */
export function epochMs(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * How long the machine lets programs wait for a processor: a bystander, which only echoes and has nothing to do with what is tested, is
 * asked as often in a row as a check asks programs. What a check takes beyond that, it takes by itself.
 */
export class MachineStalls {
  readonly #bystander = spawn("cat", { stdio: ["pipe", "pipe", "ignore"] });
  readonly #stalls: Stall[] = [];
  readonly #running: Promise<void>;
  #isStopping = false;

  constructor() {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
    this.#bystander.stdin.end();
  }

  /** The longest of those that overlap a time, in ms. */
  longestWithin(from: number, to: number): number {
    const lengths = this.#stalls.map((stall) => (stall.to > from && stall.from < to ? stall.to - stall.from : 0));
    return Math.max(0, ...lengths);
  }

  async #run(): Promise<void> {
    const echoes = this.#bystander.stdout[Symbol.asyncIterator]();
    while (!this.#isStopping) {
      const from = epochMs();
      // A timer too, so that a test that is late counts as well.
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      for (let program = 0; program < PROGRAMS_OF_A_CHECK; program++) {
        this.#bystander.stdin.write("?");
        await echoes.next();
      }
      this.#stalls.push({ from, to: epochMs() });
    }
  }
}
