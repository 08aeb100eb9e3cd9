/** The time a run has in all, one retry inside it: then its requests are answered Unavailable (docs/architecture.md). */
export const STORE_DEADLINE_MS = 1000;

/** The promise's value, or undefined if it is not there within `ms` or the promise rejects. Its later end is ignored. */
export async function settledWithin<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const expiry = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise.catch(() => undefined), expiry]);
  } finally {
    clearTimeout(timer);
  }
}
