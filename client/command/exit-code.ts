/** What the `artoria` command's exit codes say. */
export const ExitCode = {
  /** The verdict is Ok. */
  Ok: 0,
  /** A verdict other than Ok. */
  Verdict: 1,
  /** No verdict: a wrong use of the command, no connection, no answer. */
  Error: 2,
} as const;
