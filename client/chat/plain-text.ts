const utf8 = new TextDecoder();

/**
 * A message as text that is safe to show. Control characters, which could steer a terminal, become U+FFFD; line breaks become
 * spaces; characters that change the direction of other text (UAX #9, embeddings and isolates) are removed.
 */
export function plainText(body: Uint8Array): string {
  return printable(utf8.decode(body));
}

/** The same for a name. */
export function printable(text: string): string {
  return text
    .replace(/\r?\n|\t/g, " ")
    .replace(/\p{Cc}/gu, "\uFFFD")
    .replace(/[\u202A-\u202E\u2066-\u2069]/g, "");
}
