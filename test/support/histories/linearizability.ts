/*
 * Whether what concurrent callers saw of one object can be explained by some order of their operations, one at a time, in
 * which each lies between its call and its return. A history is checked key by key, for linearizability is local
 * (as in porcupine, https://github.com/anishathalye/porcupine). It knows nothing of what is asked: a Model does.
 *
 * The search is Wing and Gong's in the form of Lowe's "just-in-time linearization" ("Testing for linearizability", 2017,
 * §3.3): it goes through the calls and returns once, and keeps every explanation of what has returned so far: a state, and
 * which of the operations under way have taken effect. An operation takes effect when the return of one makes it necessary.
 */

/** One operation on one key. All times are of one clock. */
export interface Operation<Input, Output> {
  readonly client: number | string;
  readonly input: Input;
  /** Undefined: no response came, so it may have happened at any time after its call, or never. */
  readonly output: Output | undefined;
  readonly calledAt: number;
  /** Infinity when no response came. */
  readonly returnedAt: number;
  /** It may have taken effect from then on, before its call: what is allowed beyond linearizability. Absent: from its call on. */
  readonly countsFrom?: number;
}

/** What a state is: compared by its value. */
type Value = string | number | null;

/** A small sequential description of one key. */
export interface Model<State extends Value, Input, Output> {
  readonly initial: State;
  /**
   * The states that the operation may leave; none when it cannot have had this output in this state. Without an output it
   * leaves what it would with any.
   */
  step(state: State, operation: Operation<Input, Output>): readonly State[];
  /** Whether the rest can be explained without this operation, if it can be with it. */
  isRead(input: Input): boolean;
  /** How the operation is printed in a counterexample. */
  describe(operation: Operation<Input, Output>): string;
}

/** Records operations as they are made, by key. Its clock is in milliseconds, from its own start. */
export class History<Input, Output> {
  readonly #byKey = new Map<string, Operation<Input, Output>[]>();
  readonly #startMs = performance.now();

  get byKey(): ReadonlyMap<string, readonly Operation<Input, Output>[]> {
    return this.#byKey;
  }

  get operations(): readonly Operation<Input, Output>[] {
    return [...this.#byKey.values()].flat();
  }

  get now(): number {
    return performance.now() - this.#startMs;
  }

  /** Takes operations that were recorded elsewhere, with times of one clock. */
  put(key: string, ...operations: readonly Operation<Input, Output>[]): void {
    const known = this.#byKey.get(key);
    if (known === undefined) this.#byKey.set(key, [...operations]);
    else known.push(...operations);
  }

  /** Runs `act`; when it throws the operation has no output, and neither has this. */
  async record(client: number, key: string, input: Input, act: () => Promise<Output>): Promise<Output | undefined> {
    const calledAt = this.now;
    const output = await act().catch(() => undefined);
    const returnedAt = output === undefined ? Number.POSITIVE_INFINITY : this.now;
    this.put(key, { client, input, output, calledAt, returnedAt });
    return output;
  }
}

/** For each key that cannot be explained a smallest part of its history that cannot, one operation a line. */
export function findAnomalies<State extends Value, Input, Output>(
  history: { readonly byKey: ReadonlyMap<string, readonly Operation<Input, Output>[]> },
  model: Model<State, Input, Output>,
): readonly string[] {
  return [...history.byKey].flatMap(([key, operations]) => {
    const search = new Search(operations, model, [model.initial]);
    const stuckAt = search.run();
    if (stuckAt === undefined) return [];
    const smallest = smallestAnomaly(until(operations, stuckAt.returnedAt), model, [...search.states]);
    return [`${key}:\n${smallest.map((operation) => `  ${describe(operation, model)}`).join("\n")}`];
  });
}

export function isLinearizable<State extends Value, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
  starts: readonly State[] = [model.initial],
): boolean {
  return new Search(operations, model, starts).run() === undefined;
}

/** One explanation of what has returned so far. */
interface Explanation<State> {
  readonly state: State;
  /** The operations under way that have taken effect, by their index, ascending; those that never return stay. */
  readonly effected: readonly number[];
}

interface Event {
  readonly at: number;
  readonly index: number;
  readonly isReturn: boolean;
}

class Search<State extends Value, Input, Output> {
  /** Every state that any explanation has had. */
  readonly states = new Set<State>();
  readonly #operations: readonly Operation<Input, Output>[];
  readonly #model: Model<State, Input, Output>;
  readonly #underWay = new Set<number>();
  #explanations: readonly Explanation<State>[];

  constructor(
    operations: readonly Operation<Input, Output>[],
    model: Model<State, Input, Output>,
    starts: readonly State[],
  ) {
    // A read without a response tells nothing.
    this.#operations = operations.filter(({ input, output }) => output !== undefined || !model.isRead(input));
    this.#model = model;
    this.#explanations = starts.map((state) => ({ state, effected: [] }));
    for (const state of starts) this.states.add(state);
  }

  /** The first operation with whose return nothing explains the history any more; undefined when something does to the end. */
  run(): Operation<Input, Output> | undefined {
    for (const { index, isReturn } of this.#events()) {
      if (!isReturn) {
        this.#underWay.add(index);
        continue;
      }
      this.#explanations = this.#explain(index);
      this.#underWay.delete(index);
      if (this.#explanations.length === 0) return this.#operations[index];
    }
    return undefined;
  }

  /** Calls and returns in their order; a call comes before a return of the same time. */
  #events(): readonly Event[] {
    const events = this.#operations.flatMap(({ calledAt, countsFrom, returnedAt }, index): Event[] => {
      const call = { at: countsFrom ?? calledAt, index, isReturn: false };
      return Number.isFinite(returnedAt) ? [call, { at: returnedAt, index, isReturn: true }] : [call];
    });
    return events.sort((one, other) => one.at - other.at || Number(one.isReturn) - Number(other.isReturn));
  }

  /** The explanations in which the operation has taken effect, without it, for it is not under way any more. */
  #explain(returned: number): readonly Explanation<State>[] {
    const found = new Map<string, Explanation<State>[]>();
    const reached = new Map<string, Explanation<State>[]>();
    const open = [...this.#explanations];
    // The list grows while it is gone through: those with fewer effects come first.
    for (const explanation of open) {
      const withReads = this.#withReads(explanation);
      if (!this.#keep(reached, withReads)) continue;
      const { state, effected } = withReads;
      if (effected.includes(returned)) {
        this.#keep(found, { state, effected: effected.filter((index) => index !== returned) });
        continue;
      }
      for (const index of this.#candidates(effected)) {
        for (const after of this.#step(state, index)) {
          // Without a response, what changes nothing has not happened yet, or never does.
          if (after === state && this.#at(index).output === undefined) continue;
          this.states.add(after);
          open.push({ state: after, effected: [...effected, index].sort((one, other) => one - other) });
        }
      }
    }
    return [...found.values()].flat();
  }

  /** A read that fits the state changes nothing, so it may as well take effect at once. */
  #withReads({ state, effected }: Explanation<State>): Explanation<State> {
    const reads = [...this.#underWay].filter((index) => {
      if (effected.includes(index) || !this.#isRead(index)) return false;
      const after = this.#step(state, index);
      return after.length === 1 && after[0] === state;
    });
    if (reads.length === 0) return { state, effected };
    return { state, effected: [...effected, ...reads].sort((one, other) => one - other) };
  }

  /** What may take effect next. Of operations without a response that ask the same, the one that was called first will do. */
  #candidates(effected: readonly number[]): readonly number[] {
    const unanswered = new Set<string>();
    return [...this.#underWay].filter((index) => {
      if (effected.includes(index)) return false;
      const { input, output } = this.#at(index);
      if (output !== undefined) return true;
      const asked = JSON.stringify(input);
      return !unanswered.has(asked) && unanswered.add(asked);
    });
  }

  /**
   * Keeps an explanation unless one is known that differs only in having left more operations without a response to come: that one
   * can go on in every way in which this one can. Returns whether it is kept.
   */
  #keep(found: Map<string, Explanation<State>[]>, explanation: Explanation<State>): boolean {
    const { state, effected } = explanation;
    const answered = effected.filter((index) => this.#at(index).output !== undefined);
    const key = `${typeof state}|${state}|${answered.join()}`;
    const alike = found.get(key) ?? [];
    if (alike.some((other) => includesAll(effected, other.effected))) return false;
    found.set(key, [...alike.filter((other) => !includesAll(other.effected, effected)), explanation]);
    return true;
  }

  #step(state: State, index: number): readonly State[] {
    return this.#model.step(state, this.#at(index));
  }

  #isRead(index: number): boolean {
    return this.#model.isRead(this.#at(index).input);
  }

  #at(index: number): Operation<Input, Output> {
    return this.#operations[index] as Operation<Input, Output>;
  }
}

function includesAll(indices: readonly number[], some: readonly number[]): boolean {
  return some.every((index) => indices.includes(index));
}

/** What was known at that moment: what had not returned by then has no output yet. */
function until<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  moment: number,
): readonly Operation<Input, Output>[] {
  return operations
    .filter(({ calledAt }) => calledAt <= moment)
    .map((operation) => (operation.returnedAt <= moment ? operation : unanswered(operation)));
}

function unanswered<Input, Output>(operation: Operation<Input, Output>): Operation<Input, Output> {
  return { ...operation, output: undefined, returnedAt: Number.POSITIVE_INFINITY };
}

/**
 * The shortest end of the history that cannot be explained from any of the states, without the reads that it does not take.
 * Nothing that could explain it is left out.
 */
function smallestAnomaly<State extends Value, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
  states: readonly State[],
): readonly Operation<Input, Output>[] {
  const starts = operations.map(({ calledAt, countsFrom }) => countsFrom ?? calledAt).sort((one, other) => other - one);
  const tail = (from: number) => since(operations, from, model);
  const isAnomaly = (part: readonly Operation<Input, Output>[]) => !isLinearizable(part, model, states);
  const from = starts.find((start) => isAnomaly(tail(start)));
  let smallest = from === undefined ? operations : tail(from);
  for (let size = smallest.length; size > 0; size >>>= 1) {
    for (let at = 0; at < smallest.length; ) {
      const left = smallest.filter(({ input }, index) => index < at || index >= at + size || !model.isRead(input));
      if (left.length < smallest.length && isAnomaly(left)) smallest = left;
      else at += size;
    }
  }
  return smallest
    .filter(({ input, output }) => output !== undefined || !model.isRead(input))
    .toSorted((one, other) => one.calledAt - other.calledAt);
}

/** What counts from that moment on. What was under way then and is no read may have taken effect before. */
function since<State extends Value, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  moment: number,
  model: Model<State, Input, Output>,
): readonly Operation<Input, Output>[] {
  return operations.flatMap((operation) => {
    if ((operation.countsFrom ?? operation.calledAt) >= moment) return [operation];
    return operation.returnedAt < moment || model.isRead(operation.input) ? [] : [unanswered(operation)];
  });
}

function describe<State extends Value, Input, Output>(
  operation: Operation<Input, Output>,
  model: Model<State, Input, Output>,
): string {
  const { client, calledAt, countsFrom = calledAt, returnedAt } = operation;
  const counts = countsFrom < calledAt ? ` (counts from ${round(countsFrom)} on)` : "";
  const end = Number.isFinite(returnedAt) ? round(returnedAt) : "?";
  return `${round(calledAt)}..${end}${counts} client ${client}: ${model.describe(operation)}`;
}

function round(ms: number): string {
  return String(Math.round(ms * 1000) / 1000);
}
