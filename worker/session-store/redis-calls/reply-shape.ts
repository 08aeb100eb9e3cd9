/** The server's reply is not what its script returns: a wrong address, or another program behind it. */
export class UnexpectedReply extends Error {
  constructor() {
    super("the reply has not the form of its script's");
    this.name = "UnexpectedReply";
  }
}

/** The reply as a list. Throws UnexpectedReply. */
export function asList(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw new UnexpectedReply();
  return reply;
}

/** The reply as a whole number. Throws UnexpectedReply. */
export function asInteger(reply: unknown): number {
  if (!Number.isSafeInteger(reply)) throw new UnexpectedReply();
  return Number(reply);
}

/** The reply as text. Throws UnexpectedReply. */
export function asText(reply: unknown): string {
  if (typeof reply !== "string") throw new UnexpectedReply();
  return reply;
}

/** The reply as one of a script's codes. Throws UnexpectedReply. */
export function asCode<T>(codes: readonly T[], reply: unknown): T {
  const meaning = codes[asInteger(reply)];
  if (meaning === undefined) throw new UnexpectedReply();
  return meaning;
}
