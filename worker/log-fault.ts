import { placeOfError } from "../config/log-line.ts";

/**
 * Logs a fault of our own code, or of a room's content code, as one line: its type and its place. Never its message, which may
 * contain what a client sent.
 */
export function logFault(where: string, fault: unknown): void {
  // biome-ignore lint/suspicious/noConsole: a Worker's log is its console
  console.error(where, placeOfError(fault));
}
