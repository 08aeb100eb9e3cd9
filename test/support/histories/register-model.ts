import type { Model } from "./linearizability.ts";

/** What may be asked of a key that holds one value or none. Every value is written once at the most. */
export type RegisterInput = { readonly kind: "read" } | { readonly kind: "write"; readonly value: string | null };

/** What a read found; a write has "done". */
export type RegisterOutput = { readonly value: string | null } | "done";

/** A key of Redis: written, removed (`value: null`) and read. */
export const REGISTER: Model<string | null, RegisterInput, RegisterOutput> = {
  initial: null,
  step(state, { input, output }) {
    if (input.kind === "write") return [input.value];
    return output === undefined || (output !== "done" && output.value === state) ? [state] : [];
  },
  isRead: ({ kind }) => kind === "read",
  describe({ input, output }) {
    return `${JSON.stringify(input)} -> ${output === undefined ? "no response" : JSON.stringify(output)}`;
  },
};
