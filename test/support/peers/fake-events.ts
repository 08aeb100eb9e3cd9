import type { IncomingMessage, ServerResponse } from "node:http";
import type { SessionEnd } from "../../../tcp-bridge/watches/recent-ends.ts";
import { Changes } from "../changes.ts";

/** A request for the stream. */
export interface StreamPeer {
  readonly response: ServerResponse;
  readonly lastEventId: string | undefined;
  isOpen: boolean;
}

/** What a page that a bridge asks for gets instead of its events. */
type PageFault = (response: ServerResponse) => Promise<"respond" | "done"> | "respond" | "done";

/** `/v1/events` as a test says, on the server of a PacketEdge: a log, its stream, and its pages. */
export class FakeEvents {
  /** The log: its events, oldest first. Position 0 is its beginning: "p0". */
  readonly log: SessionEnd[] = [];
  /** Streams are sent what is added to the log, at once; otherwise when {@link push} is called. */
  pushes = true;
  /** The status of the response to a stream; undefined: it is opened. */
  refusal: number | undefined;
  readonly streams: StreamPeer[] = [];
  /** The positions of the pages that were asked for. */
  readonly pages: string[] = [];
  /** The events in a page at most. */
  pageSize = 500;
  /** Each is used for one page, in order. */
  readonly pageFaults: PageFault[] = [];
  /** Events before this index are gone. */
  trimmed = 0;
  /** Pages that are being asked for, and the most that were at the same time. */
  pagesNow = 0;
  mostPagesAtOnce = 0;
  readonly #changes = new Changes();
  #pushed = 0;

  /** Adds the end of a session to the log, and returns its position. */
  end(sessid: number, user: string | null = "kim", reason: SessionEnd["reason"] = "deleted"): string {
    const position = `p${this.log.length + 1}`;
    this.log.push({ position, at: 1_700_000_000_000 + this.log.length, reason, sessid, user });
    if (this.pushes) this.push();
    return position;
  }

  /** The position of the log's end. */
  get position(): string {
    return `p${this.log.length}`;
  }

  /** Sends the streams what they have not been sent. */
  push(count = this.log.length): void {
    const events = this.log.slice(this.#pushed, this.#pushed + count);
    this.#pushed += events.length;
    for (const { response, isOpen } of this.streams) if (isOpen) response.write(events.map(blockOf).join(""));
  }

  /** Sends the streams again what follows this index. */
  repeat(from: number): void {
    this.#pushed = from;
    this.push();
  }

  reset(position: string): void {
    const block = `event: reset\nid: ${position}\ndata: ${JSON.stringify({ position })}\n\n`;
    for (const { response, isOpen } of this.streams) if (isOpen) response.write(block);
  }

  /** The stream with this index, once it is there. */
  async stream(index = 0): Promise<StreamPeer> {
    await this.#changes.until(() => this.streams.length > index);
    return this.streams[index] as StreamPeer;
  }

  async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const query = new URL(request.url ?? "", "http://edge").searchParams;
    if (query.get("kinds") !== "ended") throw new Error("a bridge asks for ends");
    if (request.headers.accept === "text/event-stream") this.#stream(request, response);
    else await this.#page(query.get("after") ?? "", Number(query.get("limit")), response);
  }

  #stream({ headers }: IncomingMessage, response: ServerResponse): void {
    const lastEventId = headers["last-event-id"] as string | undefined;
    const peer: StreamPeer = { response, lastEventId, isOpen: this.refusal === undefined };
    this.streams.push(peer);
    response.on("close", () => {
      peer.isOpen = false;
      this.#changes.notify();
    });
    this.#changes.notify();
    if (this.refusal !== undefined) {
      response.writeHead(this.refusal).end();
      return;
    }
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const missed = lastEventId === undefined ? [] : this.log.slice(indexOf(lastEventId), this.#pushed);
    response.write(`retry: 1000\n: \nid: ${lastEventId ?? `p${this.#pushed}`}\n\n${missed.map(blockOf).join("")}`);
  }

  async #page(after: string, limit: number, response: ServerResponse): Promise<void> {
    this.pages.push(after);
    this.pagesNow += 1;
    this.mostPagesAtOnce = Math.max(this.mostPagesAtOnce, this.pagesNow);
    try {
      const fault = this.pageFaults.shift();
      if (fault !== undefined && (await fault(response)) === "done") return;
      const from = indexOf(after);
      if (Number.isNaN(from)) end(response, 400, { code: "invalid" });
      else if (from < this.trimmed || from > this.log.length) end(response, 410, { code: "gone", next: this.position });
      else {
        const events = this.log.slice(from, from + Math.min(limit, this.pageSize));
        const next = events.at(-1)?.position ?? after;
        const json = events.map((event) => ({ ...event, kind: "ended" }));
        end(response, 200, { events: json, next, more: next !== this.position });
      }
    } finally {
      this.pagesNow -= 1;
    }
  }
}

function end(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
}

function indexOf(position: string): number {
  return Number(/^p(\d+)$/.exec(position)?.[1] ?? Number.NaN);
}

function blockOf(event: SessionEnd): string {
  return `event: ended\nid: ${event.position}\ndata: ${JSON.stringify({ ...event, kind: "ended" })}\n\n`;
}
