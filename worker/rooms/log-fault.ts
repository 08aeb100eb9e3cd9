/**
 * Logs a fault of the room's own code, or of its content code: what it was and where, never its message, which may hold
 * what a player sent.
 */
export function logFault(where: string, fault: unknown): void {
  if (!(fault instanceof Error)) {
    // biome-ignore lint/suspicious/noConsole: a Worker's log is its console
    console.error(where, typeof fault);
    return;
  }
  const { name, message, stack = "" } = fault;
  // A stack begins with the message.
  const frames = stack.slice(stack.indexOf(message) + message.length).split("\n");
  // biome-ignore lint/suspicious/noConsole: a Worker's log is its console
  console.error(where, name, frames.find((line) => line.trim() !== "")?.trim());
}
