import type { ReceivedRequest } from "./check-answer.ts";

/** A request that is whole and plain, as proxies send them: nothing in it needs an HTTP server. */
export interface PlainRequest extends ReceivedRequest {
  readonly isHead: boolean;
  /** Where the request ends in the received text. */
  readonly end: number;
}

/** RFC 9112 §3 and §5, as strict as Node's parser: an absolute path, and headers on one line each. */
const HEAD = /^(?:GET|HEAD) \/[!-~]* HTTP\/1\.1(?:\r\n[!#$%&'*+.^_`|~\dA-Za-z-]+:[\t\x20-\x7e\x80-\xff]*)+$/;

/** What announces a body or concerns the connection. */
const NOT_PLAIN =
  /\r\n(?:connection|content-length|expect|http2-settings|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade):/i;

const HOST = /\r\nhost:/i;

/**
 * Reads the request that starts at `start` of a text in which each character is a byte. undefined unless it is whole and plain: then
 * an HTTP server must read it, which may find it well-formed.
 */
export function readPlainRequest(text: string, start: number): PlainRequest | undefined {
  const headEnd = text.indexOf("\r\n\r\n", start);
  if (headEnd < 0) return undefined;
  const head = text.slice(start, headEnd);
  if (!HEAD.test(head) || NOT_PLAIN.test(head) || !HOST.test(head)) return undefined;
  const [requestLine = "", ...lines] = head.split("\r\n");
  const rawHeaders: string[] = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    rawHeaders.push(line.slice(0, colon), withoutPadding(line, colon + 1));
  }
  const isHead = requestLine.startsWith("HEAD");
  const target = requestLine.slice(isHead ? 5 : 4, -" HTTP/1.1".length);
  return { target, rawHeaders, isHead, end: headEnd + 4 };
}

/** The value of a header without the spaces and tabs around it (RFC 9112 §5.1), and no other white space. */
function withoutPadding(line: string, from: number): string {
  let start = from;
  let end = line.length;
  while (start < end && isPadding(line.charCodeAt(start))) start += 1;
  while (end > start && isPadding(line.charCodeAt(end - 1))) end -= 1;
  return line.slice(start, end);
}

function isPadding(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
