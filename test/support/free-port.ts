import { createServer } from "node:net";

/**
 * A loopback port that was free a moment ago, for programs that can't choose one themselves. Another process may take
 * it first, so whoever uses it is ready to try again.
 */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => {
        if (address === null || typeof address === "string") reject(new Error("a TCP server has a port"));
        else resolve(address.port);
      });
    });
  });
}
