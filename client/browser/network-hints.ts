import type { ReliableConnection } from "../reliable/reliable-connection.ts";

/**
 * Passes on what a browser knows about its network: that there is one again (`online`) or none any more (`offline`), and
 * that the page is looked at again, perhaps elsewhere (`visibilitychange`).
 */
export function passNetworkHints(connection: ReliableConnection): void {
  const changed = (): void => connection.networkChanged();
  const visibilityChanged = (): void => {
    if (document.visibilityState === "visible") changed();
  };
  addEventListener("online", changed);
  addEventListener("offline", changed);
  document.addEventListener("visibilitychange", visibilityChanged);
  connection.on("closed", () => {
    removeEventListener("online", changed);
    removeEventListener("offline", changed);
    document.removeEventListener("visibilitychange", visibilityChanged);
  });
}
