import { setTimeout as pause } from "node:timers/promises";
import { parseToken, splitToken, TOKEN_BYTES } from "../../../protocol/session-token.ts";
import { type Random, seededRandom } from "../random.ts";
import type { SessionCaller } from "./session-callers.ts";
import type { RecordedCall, SessionAnswer, SessionCall } from "./session-history.ts";

/** 20 sessids: so many numbers that are registered, and so many places for sessions that are issued. */
const REGISTERED = 16;
const ISSUED = 4;
const USERS = 5;
/** How often a register or a delete names another user than the number's own. */
const STRANGERS = 0.1;
const GRANTS = [["room:*"], ["room:a"], ["room:b"], ["*"]];
const RESOURCES = ["room:a", "room:b"];

/** How often what is asked, of those that a caller can. */
const WEIGHTS: Readonly<Record<SessionCall["kind"], number>> = {
  check: 40,
  checkAccess: 30,
  identify: 25,
  get: 8,
  list: 5,
  register: 14,
  issue: 3,
  delete: 5,
  deleteUser: 1,
};

/** So that two cores have time left for the servers. */
const PAUSE_MS = 5;
/** After a call without an answer, as any caller should. */
const BACK_OFF_MS = 100;

/** A session that callers share, or the place for one that is issued. */
interface Place {
  readonly isIssued: boolean;
  /** 0: none was issued yet. */
  sessid: number;
  user: string;
  /** The last one that was received. */
  token: string | undefined;
}

/** Callers that share a few sessions, and remember what they asked and were told. */
export class SessionLoad {
  readonly calls: RecordedCall[] = [];
  readonly #places: readonly Place[];
  readonly #users: readonly string[];
  readonly #callers: readonly SessionCaller[];
  readonly #running: readonly Promise<void>[];
  #isStopping = false;

  /** `firstSessid`: of those that are registered. Loads on one store have others, and other users. */
  constructor(callers: readonly SessionCaller[], seed: number, firstSessid: number) {
    this.#users = Array.from({ length: USERS }, (_, index) => `user-${firstSessid + index}`);
    this.#places = Array.from({ length: REGISTERED + ISSUED }, (_, index) => {
      const isIssued = index >= REGISTERED;
      return { isIssued, sessid: isIssued ? 0 : firstSessid + index, user: this.#user(index), token: undefined };
    });
    this.#callers = callers;
    this.#running = callers.map((caller, index) => this.#run(caller, seededRandom(seed + index)));
  }

  /** The answers of this status to calls of this kind. */
  count(kind: SessionCall["kind"], status: SessionAnswer["status"] = "Ok"): number {
    return this.calls.filter(({ call, answer }) => call.kind === kind && answer?.status === status).length;
  }

  async stop(): Promise<readonly RecordedCall[]> {
    this.#isStopping = true;
    await Promise.all(this.#running);
    for (const caller of this.#callers) caller.close();
    return this.calls;
  }

  async #run(caller: SessionCaller, random: Random): Promise<void> {
    while (!this.#isStopping) {
      const place = this.#places[random.integer(0, this.#places.length - 1)] as Place;
      const call = this.#choose(caller, random, place);
      if (call === undefined) continue;
      const answer = await this.#ask(caller, call);
      if (answer?.token !== undefined) place.token = answer.token;
      if (call.kind === "issue" && answer?.sessid !== undefined) {
        place.sessid = answer.sessid;
        place.user = call.user;
      }
      await pause(answer === undefined ? BACK_OFF_MS : random.integer(0, PAUSE_MS));
    }
  }

  async #ask(caller: SessionCaller, call: SessionCall): Promise<SessionAnswer | undefined> {
    const calledAt = performance.now();
    const answer = await caller.ask(call).catch(() => undefined);
    const returnedAt = answer === undefined ? Number.POSITIVE_INFINITY : performance.now();
    const { name: client, throughBridge } = caller;
    this.calls.push({ client, throughBridge, call, answer, calledAt, returnedAt });
    return answer;
  }

  /** What the caller asks next about the session; undefined if that is not possible yet. */
  #choose({ kinds, throughBridge }: SessionCaller, random: Random, place: Place): SessionCall | undefined {
    const { isIssued, sessid, token } = place;
    const kind = weighted(kinds, random);
    const user = random.chance(STRANGERS) ? this.#user(random.integer(0, USERS - 1)) : place.user;
    const grants = throughBridge ? null : oneOf(GRANTS, random);
    const resource = oneOf(RESOURCES, random);
    if (kind === "list" || kind === "deleteUser") return { kind, user };
    if (isIssued && (kind === "issue" || (kind === "register" && sessid === 0))) return { kind: "issue", user, grants };
    if (sessid === 0) return undefined;
    switch (kind) {
      case "issue":
        return undefined;
      case "check":
      case "get":
        return { kind, sessid };
      case "checkAccess":
        return { kind, sessid, resource };
      case "identify":
        return token === undefined
          ? undefined
          : { kind, ...ofToken(token), resource: random.chance(0.5) ? resource : null };
      case "register":
        return { kind, sessid, user, grants, renewsToken: !throughBridge };
      case "delete":
        return { kind, sessid, user: throughBridge || random.chance(0.5) ? user : null };
    }
  }

  #user(index: number): string {
    return this.#users[index % USERS] as string;
  }
}

function ofToken(token: string): { readonly token: string; readonly sessid: number } {
  return { token, sessid: splitToken(parseToken(token) ?? new Uint8Array(TOKEN_BYTES)).sessid };
}

function weighted(kinds: readonly SessionCall["kind"][], random: Random): SessionCall["kind"] {
  let left = random.next() * kinds.reduce((sum, kind) => sum + WEIGHTS[kind], 0);
  for (const kind of kinds) {
    left -= WEIGHTS[kind];
    if (left < 0) return kind;
  }
  return "check";
}

function oneOf<T>(list: readonly T[], random: Random): T {
  return list[random.integer(0, list.length - 1)] as T;
}
