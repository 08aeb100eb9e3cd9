import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export interface FaultyRest {
  /** The base of the faults: `<url>/silent` is a REST API that never responds. */
  readonly url: string;
  close(): Promise<void>;
}

type Fault = (request: IncomingMessage, response: ServerResponse, target: string) => Promise<void> | void;

/** What no healthy redis-rest can be made to show; `target` is the healthy one. */
const FAULTS: Readonly<Record<string, Fault>> = {
  silent: () => {},
  "stalled-body": (_, response) => void response.writeHead(200).write('[{"result":'),
  "html-response": (_, response) => void response.end("<html>It works!</html>"),
  "too-few-outcomes": (_, response) => void response.end("[]"),
  "one-outcome": (_, response) => void response.end('{"result":"Aborted"}'),
  "foreign-outcomes": async (request, response) => {
    const commands = JSON.parse((await buffer(request)).toString()) as unknown[];
    response.end(JSON.stringify(commands.map(() => ({ result: "1763700000000x" }))));
  },
  "no-replicas": async (request, response) => {
    const commands = JSON.parse((await buffer(request)).toString()) as unknown[];
    response.end(JSON.stringify(commands.map(() => ({ error: "NOREPLICAS Not enough good replicas to write." }))));
  },
};

/** Executed by Redis, but the caller may never learn it: the response is lost on its way. */
async function loseResponse(request: IncomingMessage, response: ServerResponse, target: string, isLost: boolean) {
  const healthy = await fetch(`${target}/pipeline`, {
    method: "POST",
    headers: { authorization: request.headers.authorization ?? "", "content-type": "application/json" },
    body: await buffer(request),
  });
  const body = await healthy.text();
  if (isLost) request.socket.destroy();
  else response.writeHead(healthy.status).end(body);
}

/** Which of the responses to a path get lost; the first has the number 1. */
const LOST: Readonly<Record<string, (number: number) => boolean>> = {
  "lose-first-response": (number) => number === 1,
  "lose-all-but-second-response": (number) => number !== 2,
};

/** Starts a server whose paths are faults; those of {@link LOST}, with anything behind them, pass on to `target`. */
export async function startFaultyRest(target: string): Promise<FaultyRest> {
  const requests = new Map<string, number>();
  const http = createServer((request, response) => {
    const [, name = "", scenario = ""] = (request.url ?? "").split("/");
    const isLost = LOST[name];
    if (isLost !== undefined) {
      const key = `${name}/${scenario}`;
      const number = (requests.get(key) ?? 0) + 1;
      requests.set(key, number);
      loseResponse(request, response, target, isLost(number)).catch(() => request.socket.destroy());
      return;
    }
    void FAULTS[name]?.(request, response, target);
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    async close() {
      http.closeAllConnections();
      http.close();
    },
  };
}
