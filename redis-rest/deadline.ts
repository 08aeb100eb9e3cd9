import { type BatchOutcome, unavailable } from "./redis-connection.ts";

/** What the batch comes to, or `unavailable` when it has come to nothing within `deadlineMs`. */
export function withinDeadline(pending: Promise<BatchOutcome>, deadlineMs: number): Promise<BatchOutcome> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      resolve(unavailable(`Redis did not answer within ${deadlineMs} ms; the command may have been executed`));
    }, deadlineMs);
    pending.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}
