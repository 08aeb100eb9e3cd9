import { type BatchOutcome, unavailable } from "./redis-connection.ts";

/** What the batch comes to, or `unavailable` when it has come to nothing within `deadlineMs`. */
export async function withinDeadline(pending: Promise<BatchOutcome>, deadlineMs: number): Promise<BatchOutcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<BatchOutcome>((resolve) => {
    timer = setTimeout(
      () => resolve(unavailable(`Redis did not answer within ${deadlineMs} ms; the command may have been executed`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([pending, late]);
  } finally {
    clearTimeout(timer);
  }
}
