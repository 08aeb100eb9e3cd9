/** A part of the console: one is shown at a time. */
export interface ConsolePart {
  /** In the address, behind "#". */
  readonly name: string;
  readonly title: string;
  readonly element: HTMLElement;
  /** It is shown, with what the address says of it. */
  open(choice: URLSearchParams): void;
  /** Somebody sees it: it may ask the edge again and again. */
  watch(): void;
  /** Nobody sees it any more: no timer, no request. */
  rest(): void;
}

/** Who has opened the console. */
export interface Operator {
  readonly mayWrite: boolean;
  /** Of this browser. */
  readonly sessid: number;
}

/** The address of a part. */
export function partAddress(name: string, choice: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(choice).toString();
  return query === "" ? `#${name}` : `#${name}?${query}`;
}

/** Does something again and again while it is wanted: at once, and each time so long after it was done. */
export class Repetition {
  readonly #work: () => Promise<void>;
  readonly #intervalMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isRunning = false;
  #isWanted = false;

  constructor(intervalMs: number, work: () => Promise<void>) {
    this.#intervalMs = intervalMs;
    this.#work = work;
  }

  begin(): void {
    this.#isWanted = true;
    this.now();
  }

  end(): void {
    this.#isWanted = false;
    clearTimeout(this.#timer);
  }

  /** The next time is now. */
  now(): void {
    if (!this.#isWanted || this.#isRunning) return;
    clearTimeout(this.#timer);
    this.#isRunning = true;
    void this.#work().finally(() => {
      this.#isRunning = false;
      if (this.#isWanted) this.#timer = setTimeout(() => this.now(), this.#intervalMs);
    });
  }
}
