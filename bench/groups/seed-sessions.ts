import { LoadDriver } from "../harness/load-driver.ts";

/** The sessions of every case that asks for existing ones: 1..SESSIONS. */
export const SESSIONS = 100_000;

/** Packets of a window: the sessions are a whole number of windows. */
const PIPELINED = 50;

/** Registers the sessions 1..{@link SESSIONS} over a port that speaks service packets, once each. */
export async function seedSessions(port: number): Promise<void> {
  const job = { kind: "register", port, connections: 16, pipelined: PIPELINED, sessions: SESSIONS };
  const driver = await LoadDriver.start("packet-load.ts", job, []);
  try {
    await driver.runOnce();
  } finally {
    await driver.stop();
  }
}
