import type { RedisCommand, RedisReply } from "../redis/redis-connection.ts";

/** A body with more is not parsed. */
export interface BodyLimits {
  readonly maxCommands: number;
}

/** In a body. Redis would disconnect after a command of 2^20 arguments (networking.c, "invalid multibulk length"). */
const MAX_ARGUMENTS = 250_000;

/** The commands of a request, or the text of a 400. */
export type ParsedCommands =
  | { readonly kind: "commands"; readonly commands: readonly RedisCommand[] }
  | { readonly kind: "malformed"; readonly error: string };

/** `POST /`: one JSON array, the command's name and its arguments. */
export function parseCommandBody(body: Buffer): ParsedCommands {
  if (countItems(body).all > MAX_ARGUMENTS) return tooManyArguments();
  const parsed = parseJson(body);
  if (parsed === undefined) return malformed("the body is not JSON");
  const command = parseCommand(parsed);
  return typeof command === "string" ? malformed(command) : { kind: "commands", commands: [command] };
}

/** `POST /pipeline` and `/multi-exec`: a JSON array of such arrays. */
export function parsePipelineBody(body: Buffer, { maxCommands }: BodyLimits): ParsedCommands {
  const items = countItems(body, maxCommands);
  if (items.outer > maxCommands) return malformed(`too many commands in a request. Limit: ${maxCommands}`);
  if (items.all > MAX_ARGUMENTS + maxCommands) return tooManyArguments();
  const parsed = parseJson(body);
  if (parsed === undefined) return malformed("the body is not JSON");
  if (!Array.isArray(parsed) || parsed.length === 0) return malformed("the body must be an array of commands");
  const commands: RedisCommand[] = [];
  for (const item of parsed) {
    const command = parseCommand(item);
    if (typeof command === "string") return malformed(`command ${commands.length}: ${command}`);
    commands.push(command);
  }
  return { kind: "commands", commands };
}

/**
 * The path form: `/set/key/value`, or `/set/key` with the value as the body, then the query's names and values:
 * `/set/key?EX=100` is SET key <body> EX 100. A name without a value is an argument alone: `?NX`.
 */
export function parseCommandPath(url: URL, body: Buffer): ParsedCommands {
  let path: string[];
  try {
    path = url.pathname.slice(1).split("/").map(decodeURIComponent);
  } catch {
    return malformed("the path is not valid percent-encoded UTF-8");
  }
  const [name, ...args] = path;
  if (name === undefined || name === "") return malformed("empty command");
  const options = [...url.searchParams]
    .filter(([key]) => key !== TOKEN_PARAMETER)
    .flatMap(([key, value]) => (value === "" ? [key] : [key, value]));
  return {
    kind: "commands",
    commands: [{ name: name.toUpperCase(), args: [...args, ...(body.length > 0 ? [body] : []), ...options] }],
  };
}

/** The query parameter that may carry the token where no header can be set; never an argument. */
export const TOKEN_PARAMETER = "_token";

/** How strings are encoded: as JSON text, in which bytes that are not UTF-8 become U+FFFD, or in base64 without loss. */
export type StringEncoding = "text" | "base64";

/** `{"result":...}` or `{"error":"..."}`: the response to one command, or an item of a pipeline's. */
export function replyJson(reply: RedisReply, encoding: StringEncoding): string {
  if (reply instanceof Error) return errorJson(reply.message);
  // The one string that the real service does not encode; clients do not decode it.
  if (Buffer.isBuffer(reply) && reply.equals(OK)) return '{"result":"OK"}';
  return `{"result":${valueJson(reply, encoding)}}`;
}

/** A pipeline's response, in the order of its commands. */
export function repliesJson(replies: readonly RedisReply[], encoding: StringEncoding): string {
  return `[${replies.map((reply) => replyJson(reply, encoding)).join(",")}]`;
}

/** An error is text in every encoding. */
export function errorJson(message: string): string {
  return JSON.stringify({ error: message });
}

function malformed(why: string): ParsedCommands {
  return { kind: "malformed", error: `ERR ${why}` };
}

function tooManyArguments(): ParsedCommands {
  return malformed(`too many arguments in a request. Limit: ${MAX_ARGUMENTS}`);
}

const [COMMA, QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT] = Buffer.from(',"\\[]{');

/**
 * Counts, without parsing, the items of the outer list of a JSON text, and all lists and items that parsing would create. A
 * text too short for more than `enough` items is not read.
 */
function countItems(json: Buffer, enough = MAX_ARGUMENTS): { readonly outer: number; readonly all: number } {
  // An item and its comma are two bytes.
  if (json.length <= 2 * enough) return { outer: 0, all: 0 };
  let depth = 0;
  let outer = 1;
  let all = 1;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = endOfString(json, at + 1);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) all++;
    else if (byte === COMMA) {
      all++;
      if (depth === 1) outer++;
    }
    if (byte === OPEN_LIST) depth++;
    else if (byte === CLOSE_LIST) depth--;
  }
  return { outer, all };
}

function endOfString(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1;
  return at;
}

/** Unlike Buffer's toString it removes a byte order mark. */
const UTF8 = new TextDecoder();

/**
 * Numbers go to Redis in the digits that were sent. JSON.parse alone would round 9007199254740993, so a body with such a number
 * is parsed a second time, with access to the source text.
 */
function parseJson(body: Buffer): unknown {
  const text = UTF8.decode(body);
  try {
    const parsed: unknown = JSON.parse(text);
    return holdsRoundedNumber(parsed) ? JSON.parse(text, keepDigits) : parsed;
  } catch {
    return undefined;
  }
}

function holdsRoundedNumber(value: unknown): boolean {
  if (typeof value === "number") return !Number.isSafeInteger(value);
  return Array.isArray(value) && value.some(holdsRoundedNumber);
}

/** A JSON.parse reviver; its third argument is ES2025's and not in TypeScript's library yet. */
function keepDigits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === "number" ? (context?.source ?? String(value)) : value;
}

/** The command, or what is wrong with it. */
function parseCommand(value: unknown): RedisCommand | string {
  if (!Array.isArray(value)) return "a command must be an array of its name and arguments";
  const name: unknown = value[0];
  if (name === undefined) return "empty command";
  if (typeof name !== "string" || name === "") return "a command's name must be a string";
  const args: string[] = [];
  for (let at = 1; at < value.length; at++) {
    const arg: unknown = value[at];
    if (typeof arg === "string") args.push(arg);
    else if (typeof arg === "number" || typeof arg === "boolean") args.push(String(arg));
    else return `argument ${at} must be a string, a number or a boolean`;
  }
  return { name: name.toUpperCase(), args };
}

const OK = Buffer.from("OK");

function valueJson(reply: RedisReply, encoding: StringEncoding): string {
  if (reply === null) return "null";
  // The digits of an integer; a reader may round integers beyond 2^53.
  if (typeof reply === "string") return reply;
  if (Buffer.isBuffer(reply)) return stringJson(reply, encoding);
  if (reply instanceof Error) return stringJson(Buffer.from(reply.message), encoding);
  return `[${reply.map((item) => valueJson(item, encoding)).join(",")}]`;
}

function stringJson(bytes: Buffer, encoding: StringEncoding): string {
  return encoding === "base64" ? `"${bytes.toString("base64")}"` : JSON.stringify(bytes.toString("utf8"));
}
