import { startRedisControl } from "./redis-control.ts";

/** The control server as a process: prints its URL, and ends when its standard input does. */
const control = await startRedisControl();
process.stdout.write(`${control.url}\n`);
process.stdin.resume().once("end", () => {
  void control.close();
});
