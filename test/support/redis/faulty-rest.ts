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

/** Executed by Redis, but the caller never learns it: the first response to each path is lost on its way. */
async function loseFirstResponse(request: IncomingMessage, response: ServerResponse, target: string, isFirst: boolean) {
  const healthy = await fetch(`${target}/pipeline`, {
    method: "POST",
    headers: { authorization: request.headers.authorization ?? "", "content-type": "application/json" },
    body: await buffer(request),
  });
  const body = await healthy.text();
  if (isFirst) request.socket.destroy();
  else response.writeHead(healthy.status).end(body);
}

/** Starts a server whose paths are faults; `/lose-first-response/<anything>` passes on to `target`. */
export async function startFaultyRest(target: string): Promise<FaultyRest> {
  const seen = new Set<string>();
  const http = createServer((request, response) => {
    const [, name = "", scenario = ""] = (request.url ?? "").split("/");
    if (name === "lose-first-response") {
      const isFirst = !seen.has(scenario);
      seen.add(scenario);
      loseFirstResponse(request, response, target, isFirst).catch(() => request.socket.destroy());
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
