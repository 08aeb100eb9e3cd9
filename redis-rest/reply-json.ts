import type { RedisReply } from "./redis-connection.ts";

/** How strings are written: as JSON text, where what is no UTF-8 becomes U+FFFD, or in base64, where nothing is lost. */
export type StringEncoding = "text" | "base64";

/** `{"result":...}` or `{"error":"..."}`: the whole answer to one command, or an item of a pipeline's. */
export function replyJson(reply: RedisReply, encoding: StringEncoding): string {
  if (reply instanceof Error) return errorJson(reply.message);
  // The one string that the real service leaves as it is; clients do not decode it.
  if (Buffer.isBuffer(reply) && reply.equals(OK)) return '{"result":"OK"}';
  return `{"result":${valueJson(reply, encoding)}}`;
}

/** A pipeline's answer, in the order of its commands. */
export function repliesJson(replies: readonly RedisReply[], encoding: StringEncoding): string {
  return `[${replies.map((reply) => replyJson(reply, encoding)).join(",")}]`;
}

/** An error is text in every encoding. */
export function errorJson(message: string): string {
  return JSON.stringify({ error: message });
}

/** Whether a reply is nil or has one anywhere inside. */
export function holdsNil(reply: RedisReply): boolean {
  return reply === null || (Array.isArray(reply) && reply.some(holdsNil));
}

const OK = Buffer.from("OK");

function valueJson(reply: RedisReply, encoding: StringEncoding): string {
  if (reply === null) return "null";
  // An integer: its digits go out as they came, though a reader may round what is beyond 2^53.
  if (typeof reply === "string") return reply;
  if (Buffer.isBuffer(reply)) return stringJson(reply, encoding);
  if (reply instanceof Error) return stringJson(Buffer.from(reply.message), encoding);
  return `[${reply.map((item) => valueJson(item, encoding)).join(",")}]`;
}

function stringJson(bytes: Buffer, encoding: StringEncoding): string {
  return encoding === "base64" ? `"${bytes.toString("base64")}"` : JSON.stringify(bytes.toString("utf8"));
}
