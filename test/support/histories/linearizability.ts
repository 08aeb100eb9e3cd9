/*
 * Whether what concurrent callers saw of one object can be explained by some order of their operations, one at a time, in
 * which each lies between its call and its return. The search is Wing and Gong's with Lowe's memo of (operations done,
 * state), as in porcupine (https://github.com/anishathalye/porcupine, checker.go); a history is checked key by key, for
 * linearizability is local. It knows nothing of what is asked: a Model does.
 */

/** One operation on one key. Times are positions in the history, of whatever clock, as long as it is one clock. */
export interface Operation<Input, Output> {
  readonly client: number;
  readonly input: Input;
  /** Undefined: no response came, so it may have happened at any time after its call, or never. */
  readonly output: Output | undefined;
  readonly calledAt: number;
  /** Infinity when no response came. */
  readonly returnedAt: number;
}

/** A small sequential description of one key. */
export interface Model<State extends string | number | null, Input, Output> {
  readonly initial: State;
  /** The state after the operation; undefined when it cannot have had this output in this state (any, if undefined). */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /**
   * What can be left out together with the operation, so that the rest can be explained if the whole can: a read goes alone,
   * a write with those that read it. Undefined when that cannot be told.
   */
  removal(
    operation: Operation<Input, Output>,
    all: readonly Operation<Input, Output>[],
  ): readonly Operation<Input, Output>[] | undefined;
}

/** Records operations as they are made, by key; the order of its events is the clock. */
export class History<Input, Output> {
  readonly #byKey = new Map<string, Operation<Input, Output>[]>();
  #now = 0;

  get byKey(): ReadonlyMap<string, readonly Operation<Input, Output>[]> {
    return this.#byKey;
  }

  get operations(): readonly Operation<Input, Output>[] {
    return [...this.#byKey.values()].flat();
  }

  /** Takes operations that were recorded elsewhere, with times of one clock. */
  put(key: string, operations: readonly Operation<Input, Output>[]): void {
    this.#byKey.set(key, [...(this.#byKey.get(key) ?? []), ...operations]);
  }

  /** Runs `act`; when it throws the operation has no output, and neither has this. */
  async record(client: number, key: string, input: Input, act: () => Promise<Output>): Promise<Output | undefined> {
    const calledAt = ++this.#now;
    let output: Output | undefined;
    try {
      output = await act();
    } catch {
      output = undefined;
    }
    const returnedAt = output === undefined ? Number.POSITIVE_INFINITY : ++this.#now;
    const operations = this.#byKey.get(key) ?? [];
    this.#byKey.set(key, operations);
    operations.push({ client, input, output, calledAt, returnedAt });
    return output;
  }
}

/** For each key that cannot be explained the smallest part of its history that cannot, one operation a line. */
export function findAnomalies<State extends string | number | null, Input, Output>(
  history: History<Input, Output>,
  model: Model<State, Input, Output>,
): readonly string[] {
  return [...history.byKey]
    .filter(([, operations]) => !isLinearizable(operations, model))
    .map(([key, operations]) => `${key}:\n${describe(smallestAnomaly(operations, model))}`);
}

/** One end of an operation, in a list that the search takes operations out of and puts them back into. */
interface Entry<Input, Output> {
  readonly operation: Operation<Input, Output>;
  readonly index: number;
  /** The entry of the return; undefined in a return's own. */
  readonly end: Entry<Input, Output> | undefined;
  previous: Entry<Input, Output> | undefined;
  next: Entry<Input, Output> | undefined;
}

export function isLinearizable<State extends string | number | null, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): boolean {
  const head = linkEntries(relevant(operations, model));
  const done = new Uint32Array(Math.ceil(operations.length / 32));
  const seen = new Set<string>();
  const chosen: { readonly entry: Entry<Input, Output>; readonly before: State }[] = [];
  let state = model.initial;
  let entry = head.next;
  while (head.next !== undefined) {
    if (entry?.end !== undefined) {
      const { input, output } = entry.operation;
      const after = model.step(state, input, output);
      if (after !== undefined && isNew(seen, done, entry.index, after)) {
        chosen.push({ entry, before: state });
        state = after;
        flip(done, entry.index);
        lift(entry, entry.end);
        entry = head.next;
      } else {
        entry = entry.next;
      }
    } else {
      // A return, or the end: whatever was called before it has to come first, and nothing that could is left.
      const last = chosen.pop();
      if (last?.entry.end === undefined) return false;
      state = last.before;
      flip(done, last.entry.index);
      putBack(last.entry, last.entry.end);
      entry = last.entry.next;
    }
  }
  return true;
}

/** An operation without a response that nothing depends on may never have happened; each would double the search. */
function relevant<State extends string | number | null, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): readonly Operation<Input, Output>[] {
  return operations.filter((one) => one.output !== undefined || model.removal(one, operations)?.length !== 1);
}

function linkEntries<Input, Output>(operations: readonly Operation<Input, Output>[]): Entry<Input, Output> {
  const ends: { readonly at: number; readonly entry: Entry<Input, Output> }[] = [];
  for (const [index, operation] of operations.entries()) {
    const end: Entry<Input, Output> = { operation, index, end: undefined, previous: undefined, next: undefined };
    ends.push({ at: operation.calledAt, entry: { ...end, end } }, { at: operation.returnedAt, entry: end });
  }
  ends.sort((one, other) => (one.at === other.at ? isReturn(one.entry) - isReturn(other.entry) : one.at - other.at));
  const [first] = ends;
  const head = { ...(first?.entry as Entry<Input, Output>), previous: undefined, next: undefined } as Entry<
    Input,
    Output
  >;
  let last = head;
  for (const { entry } of ends) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  return head;
}

function isReturn<Input, Output>({ end }: Entry<Input, Output>): number {
  return end === undefined ? 1 : 0;
}

function isNew(seen: Set<string>, done: Uint32Array, index: number, state: string | number | null): boolean {
  flip(done, index);
  const key = `${done.join()}|${typeof state}|${state}`;
  flip(done, index);
  if (seen.has(key)) return false;
  seen.add(key);
  return true;
}

function flip(done: Uint32Array, index: number): void {
  const word = index >>> 5;
  done[word] = (done[word] ?? 0) ^ (1 << (index & 31));
}

function lift<Input, Output>(...entries: readonly Entry<Input, Output>[]): void {
  for (const { previous, next } of entries) {
    if (previous !== undefined) previous.next = next;
    if (next !== undefined) next.previous = previous;
  }
}

function putBack<Input, Output>(begin: Entry<Input, Output>, end: Entry<Input, Output>): void {
  for (const entry of [end, begin]) {
    if (entry.previous !== undefined) entry.previous.next = entry;
    if (entry.next !== undefined) entry.next.previous = entry;
  }
}

/** The shortest beginning that cannot be explained, without every operation that it takes nothing from. */
function smallestAnomaly<State extends string | number | null, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): readonly Operation<Input, Output>[] {
  const returns = operations.map(({ returnedAt }) => returnedAt).filter(Number.isFinite);
  returns.sort((one, other) => one - other);
  let [low, high] = [0, returns.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isLinearizable(until(operations, returns[middle]), model)) low = middle + 1;
    else high = middle;
  }
  let smallest = until(operations, returns[low]);
  for (let size = smallest.length >>> 1; size > 0; size >>>= 1) {
    for (let at = 0; at < smallest.length; ) {
      const left = without(smallest, smallest.slice(at, at + size), model);
      if (left.length < smallest.length && !isLinearizable(left, model)) smallest = left;
      else at += size;
    }
  }
  return smallest;
}

function without<State extends string | number | null, Input, Output>(
  all: readonly Operation<Input, Output>[],
  unwanted: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): readonly Operation<Input, Output>[] {
  const removed = new Set(unwanted.flatMap((operation) => model.removal(operation, all) ?? []));
  return all.filter((operation) => !removed.has(operation));
}

/** What was known at that moment: what had not returned by then has no output yet. */
function until<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  moment = Number.POSITIVE_INFINITY,
): readonly Operation<Input, Output>[] {
  return operations
    .filter(({ calledAt }) => calledAt <= moment)
    .map((one) =>
      one.returnedAt <= moment ? one : { ...one, output: undefined, returnedAt: Number.POSITIVE_INFINITY },
    );
}

function describe<Input, Output>(operations: readonly Operation<Input, Output>[]): string {
  return [...operations]
    .sort((one, other) => one.calledAt - other.calledAt)
    .map(
      ({ client, input, output, calledAt, returnedAt }) =>
        `  ${calledAt}..${Number.isFinite(returnedAt) ? returnedAt : "?"} client ${client}: ${JSON.stringify(input)} -> ${
          output === undefined ? "no response" : JSON.stringify(output)
        }`,
    )
    .join("\n");
}
