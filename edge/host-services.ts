import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import {
  type PasswordRequest,
  PasswordService,
  parseHashQueueLimits,
} from "../worker/password-hasher/password-service.ts";

/** What workerd asks the program around it. */
export interface HostServices {
  /** As workerd writes addresses. */
  readonly address: string;
  close(): void;
}

/** How they are served. */
export interface HostServicesOptions {
  /** Where to listen: a path of a unix socket; undefined: a port of loopback. */
  readonly socketPath: string | undefined;
  /** What each request shows as its Authorization. */
  readonly authorization: string;
  /** The variables of the password hasher. */
  readonly variables: Readonly<Record<string, string>>;
  /** Until it resolves, `/opened` gets no response. */
  readonly opened: Promise<void>;
}

/**
 * Serves what the worker must not do on workerd's one thread, where a hash would stop every check: passwords are hashed in Node's
 * threads.
 */
export async function startHostServices(options: HostServicesOptions): Promise<HostServices> {
  const { socketPath, authorization, variables, opened } = options;
  const hasher = new PasswordService(parseHashQueueLimits(variables));
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers.authorization !== authorization) {
      response.writeHead(401).end();
    } else if (request.url === "/opened") {
      await opened;
      response.writeHead(204).end();
    } else {
      const { status, headers, body } = await hasher.handle((await json(request)) as PasswordRequest);
      response.writeHead(status, Object.fromEntries(headers)).end(await new Response(body).bytes());
    }
  }
  const server = createServer((request, response) => {
    // A request that breaks off is not the worker's: it waits for its response.
    answer(request, response).catch(() => response.destroy());
  });
  if (socketPath === undefined) server.listen(0, "127.0.0.1");
  else server.listen(socketPath);
  await once(server, "listening");
  const address = socketPath === undefined ? loopbackAddress(server.address() as AddressInfo) : `unix:${socketPath}`;
  return {
    address,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function loopbackAddress({ address, port }: AddressInfo): string {
  return `${address}:${port}`;
}
