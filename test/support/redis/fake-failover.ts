import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { type RespRequest, RespServer, respArray, respBulk } from "./resp-server.ts";

/** What the primary that is replaced does to its clients. */
export type PrimaryEnd =
  /** It ends their connections, as Sentinel makes it. */
  | "hangs up"
  /** It replies as before: it has not heard of its replacement. */
  | "goes on"
  /** It keeps them and says nothing more: a stopped process, a cut cable. */
  | "goes silent";

export const PRIMARY_ENDS: readonly PrimaryEnd[] = ["hangs up", "goes on", "goes silent"];

/** When a sentinel tells its subscribers, measured from the promotion: not everybody hears of it at once. */
export interface Announcement {
  readonly end: PrimaryEnd;
  /** Per sentinel, beside the way there; Infinity is never. */
  readonly afterMs: readonly number[];
}

const MASTER_NAME = "fake";
const SENTINELS = 3;

/**
 * Three sentinels and two servers that take turns as the primary, at whatever distance: the sentinels' every reply and
 * message is `distanceMs` on its way. A failover is a call, so that a thousand of them take minutes.
 */
export class FakeFailover {
  readonly #distanceMs: number;
  readonly #servers: FakePrimary[] = [];
  readonly #sentinels: RespServer[] = [];
  readonly #subscribers: Set<Socket>[] = [];
  #current = 0;
  #epoch = 1;
  /** Replies to SUBSCRIBE have the news of the last failover right before and behind them, in one packet. */
  repeatsNewsToSubscribers = false;

  private constructor(distanceMs: number) {
    this.#distanceMs = distanceMs;
  }

  static async start(distanceMs: number): Promise<FakeFailover> {
    const stage = new FakeFailover(distanceMs);
    for (const name of ["a", "b"]) stage.#servers.push(await FakePrimary.start(name, name === "a"));
    for (let index = 0; index < SENTINELS; index++) {
      const subscribers = new Set<Socket>();
      stage.#subscribers.push(subscribers);
      stage.#sentinels.push(await RespServer.listen((request, client) => stage.#respond(request, client, subscribers)));
    }
    return stage;
  }

  get env(): { readonly REDIS_SENTINELS: string; readonly REDIS_MASTER: string } {
    return {
      REDIS_SENTINELS: this.#sentinels.map(({ port }) => `127.0.0.1:${port}`).join(","),
      REDIS_MASTER: MASTER_NAME,
    };
  }

  /** The reply of the present primary to any GET. */
  get primaryName(): string {
    return this.#primary.name;
  }

  /** Promotes the other server: from here on every sentinel gives its address, and tells its subscribers. */
  failOver({ end, afterMs }: Announcement): void {
    const old = this.#primary;
    this.#current = 1 - this.#current;
    this.#epoch++;
    this.#primary.promote();
    old.demote(end);
    const news = this.#news(old.port);
    for (const [index, subscribers] of this.#subscribers.entries()) {
      const delayMs = (afterMs[index] ?? 0) + this.#distanceMs;
      if (delayMs === Number.POSITIVE_INFINITY) continue;
      void this.#later(delayMs, () => {
        for (const client of subscribers) if (client.writable) client.write(news);
      });
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sentinels, ...this.#servers].map((server) => server.close()));
  }

  get #primary(): FakePrimary {
    const primary = this.#servers[this.#current];
    if (primary === undefined) throw new Error("there are two servers");
    return primary;
  }

  #news(oldPort: number): string {
    const switched = `${MASTER_NAME} 127.0.0.1 ${oldPort} 127.0.0.1 ${this.#primary.port}`;
    return respArray(["message", "+switch-master", switched].map(respBulk));
  }

  #respond([name, ...args]: RespRequest, client: Socket, subscribers: Set<Socket>): undefined {
    void this.#later(this.#distanceMs, () => {
      if (client.writable) client.write(this.#reply(name, args, client, subscribers));
    });
    return undefined;
  }

  /** The reply tells what is true when it leaves, not when the request came. */
  #reply(name: string, args: readonly string[], client: Socket, subscribers: Set<Socket>): string {
    if (name === "SUBSCRIBE") {
      subscribers.add(client);
      client.once("close", () => subscribers.delete(client));
      const subscribed = respArray([respBulk("subscribe"), respBulk(args[0] ?? ""), ":1\r\n"]);
      return this.repeatsNewsToSubscribers ? this.#news(0) + subscribed + this.#news(0) : subscribed;
    }
    if (name !== "SENTINEL") return "+OK\r\n";
    const port = String(this.#primary.port);
    switch (args[0]?.toUpperCase()) {
      case "GET-MASTER-ADDR-BY-NAME":
        return respArray(["127.0.0.1", port].map(respBulk));
      case "MASTER":
        return respArray(["ip", "127.0.0.1", "port", port, "config-epoch", String(this.#epoch)].map(respBulk));
      case "SENTINELS":
        return respArray([]);
      default:
        return "-ERR unknown sentinel subcommand\r\n";
    }
  }

  async #later(delayMs: number, act: () => void): Promise<void> {
    if (delayMs > 0) await pause(delayMs);
    act();
  }
}

/** Just enough of a Redis server for redis-rest to start in front of it and to read a key, whose value is its name. */
class FakePrimary {
  readonly name: string;
  readonly #server: RespServer;
  #isPrimary: boolean;
  #isSilent = false;

  private constructor(name: string, isPrimary: boolean, server: RespServer) {
    this.name = name;
    this.#isPrimary = isPrimary;
    this.#server = server;
  }

  static async start(name: string, isPrimary: boolean): Promise<FakePrimary> {
    const server = await RespServer.listen((request) => primary.#reply(request));
    const primary = new FakePrimary(name, isPrimary, server);
    return primary;
  }

  get port(): number {
    return this.#server.port;
  }

  promote(): void {
    // Who waits for a reply from the time of silence waits in vain.
    if (this.#isSilent) this.#server.hangUp();
    this.#isSilent = false;
    this.#isPrimary = true;
  }

  demote(end: PrimaryEnd): void {
    this.#isPrimary = false;
    this.#isSilent = end === "goes silent";
    if (end === "hangs up") this.#server.hangUp();
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  #reply([name]: RespRequest): string | undefined {
    if (this.#isSilent) return undefined;
    switch (name) {
      case "INFO":
        return respBulk(`role:${this.#isPrimary ? "master" : "slave"}\r\nrun_id:${this.name}\r\ncluster_enabled:0\r\n`);
      case "COMMAND":
        return respArray([respArray([respBulk("get"), ":2\r\n", respArray([respBulk("readonly")])])]);
      case "GET":
        return respBulk(this.name);
      default:
        return "+OK\r\n";
    }
  }
}
