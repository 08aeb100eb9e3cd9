import { setTimeout as pause } from "node:timers/promises";
import { Agent } from "undici";
import { ConnectionError } from "../../../client/connector.ts";
import { AskingProxy, BackEnd, type Checker, GameServer, type Places, type Writer } from "./callers.ts";
import { epochMs } from "./machine-stalls.ts";
import { SessionTruth, type TrueSession } from "./session-truth.ts";

const CHECKERS_OF_A_KIND = 3;
const WRITERS_OF_A_KIND = 2;
/** So that two cores have time left for the servers. */
const CHECK_EVERY_MS = 40;
const CREATE_EVERY_MS = 150;
const LIFE_MS = 2_000;
/** Before what was refused is asked again; it doubles, for callers that all return at once keep a busy edge busy. */
const BACK_OFF_MS = 100;
const MAX_BACK_OFF_MS = 2_000;

/** A write, as its caller saw it: until it was answered, however often it was tried. */
export interface MeasuredWrite {
  readonly kind: "create" | "delete";
  readonly startedMs: number;
  readonly durationMs: number;
  /** Why it was tried again. */
  readonly refusals: readonly string[];
}

/** Game servers, proxies and back ends that check sessions, and others that create and delete them, until {@link stop}. */
export class UpdateLoad {
  readonly truth = new SessionTruth();
  readonly writes: MeasuredWrite[] = [];
  readonly #agent: Agent;
  readonly #callers: readonly (Checker | Writer)[];
  readonly #running: readonly Promise<void>[];
  readonly #deletes: Promise<void>[] = [];
  #nextSessid = 1_000;
  #isStopping = false;

  constructor(places: Places) {
    const agent = new Agent({ connect: { ca: places.ca } });
    this.#agent = agent;
    const checkers: Checker[] = Array.from({ length: CHECKERS_OF_A_KIND }, () => [
      new GameServer(places),
      new AskingProxy("proxy at a check port", places.checkUrl, agent),
      new AskingProxy("proxy at an edge", places.edgeUrl, agent),
      new BackEnd(places, agent),
    ]).flat();
    const writers: Writer[] = Array.from({ length: WRITERS_OF_A_KIND }, () => [
      new GameServer(places),
      new BackEnd(places, agent),
    ]).flat();
    this.#callers = [...checkers, ...writers];
    this.#running = [
      ...checkers.map((checker) => this.#keepChecking(checker)),
      ...writers.map((writer) => this.#keepCreating(writer)),
    ];
  }

  /** Ends the checks, and waits until all sessions have been deleted. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
    await Promise.all(this.#deletes);
    for (const caller of this.#callers) caller.close();
    await this.#agent.close();
  }

  async #keepChecking(checker: Checker): Promise<void> {
    while (!this.#isStopping) {
      await pause(CHECK_EVERY_MS * (0.5 + Math.random()));
      const session = this.truth.pick(checker.needsToken);
      if (session === undefined) continue;
      await this.#check(checker, session);
    }
  }

  /** As a caller should: if the connection is lost it asks again at once, and if it is refused a little later. */
  async #check(checker: Checker, session: TrueSession): Promise<void> {
    const firstAskedMs = epochMs();
    const refusals: string[] = [];
    for (;;) {
      const askedMs = epochMs();
      try {
        const verdict = await checker.check(session);
        const times = { firstAskedMs, askedMs, answeredMs: epochMs() };
        this.truth.judge({ caller: checker.name, ...times, verdict, refusals }, session);
        return;
      } catch (error) {
        if (error instanceof ConnectionError) continue;
        refusals.push(error instanceof Error ? error.message : String(error));
        await backOff(refusals.length);
      }
    }
  }

  async #keepCreating(writer: Writer): Promise<void> {
    while (!this.#isStopping) {
      const sessid = this.#nextSessid++;
      const user = `user-${sessid}`;
      const { token } = await this.#untilAnswered("create", () => writer.create(sessid, user));
      const session: TrueSession = { sessid, user, token, deleteSentMs: undefined, deletedMs: undefined };
      this.truth.created(session);
      this.#deletes.push(this.#deleteLater(writer, session));
      await pause(CREATE_EVERY_MS);
    }
  }

  async #deleteLater(writer: Writer, session: TrueSession): Promise<void> {
    await pause(LIFE_MS * (0.5 + Math.random()));
    session.deleteSentMs = epochMs();
    await this.#untilAnswered("delete", () => writer.delete(session));
    this.truth.ended(session, epochMs());
  }

  async #untilAnswered<T>(kind: MeasuredWrite["kind"], write: () => Promise<T>): Promise<T> {
    const startedMs = epochMs();
    const refusals: string[] = [];
    for (;;) {
      try {
        const answer = await write();
        this.writes.push({ kind, startedMs, durationMs: epochMs() - startedMs, refusals });
        return answer;
      } catch (error) {
        refusals.push(error instanceof Error ? error.message : String(error));
        await backOff(refusals.length);
      }
    }
  }
}

async function backOff(refusals: number): Promise<void> {
  await pause(Math.min(MAX_BACK_OFF_MS, BACK_OFF_MS * 2 ** (refusals - 1)) * (0.5 + Math.random()));
}
