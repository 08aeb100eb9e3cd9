import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** A loopback port that nobody listens on at this moment, for programs that cannot say which one they were given. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const closed = once(server, "close");
  server.close();
  await closed;
  return port;
}
