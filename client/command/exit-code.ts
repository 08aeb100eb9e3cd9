/** The exit codes of the `artoria` command. */
export const ExitCode = {
  /** The verdict is Ok. */
  Ok: 0,
  /** A verdict other than Ok. */
  Verdict: 1,
  /** No verdict: a wrong use of the command, no connection, or no response. */
  Error: 2,
} as const;
