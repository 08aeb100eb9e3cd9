import type { Model } from "./linearizability.ts";

/** What may be asked of a key that holds one value or none. Every value is written once at the most. */
export type RegisterInput = { readonly kind: "read" } | { readonly kind: "write"; readonly value: string | null };

/** What a read found; a write has "done". */
export type RegisterOutput = { readonly value: string | null } | "done";

/** A key of Redis, a session: written, removed (`value: null`) and read. */
export const REGISTER: Model<string | null, RegisterInput, RegisterOutput> = {
  initial: null,
  step(state, input, output) {
    if (input.kind === "write") return input.value;
    return output === undefined || (output !== "done" && output.value === state) ? state : undefined;
  },
  removal(operation, all) {
    const { input } = operation;
    if (input.kind === "read") return [operation];
    const readers = all.filter(({ output }) => isReadOf(output, input.value));
    // Which of several removals a read of nothing saw cannot be told.
    return input.value === null && readers.length > 0 ? undefined : [operation, ...readers];
  },
};

function isReadOf(output: RegisterOutput | undefined, value: string | null): boolean {
  return output !== undefined && output !== "done" && output.value === value;
}
