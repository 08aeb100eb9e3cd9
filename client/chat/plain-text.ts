const utf8 = new TextDecoder();

/**
 * A message as text that is safe to show: control characters, which could steer a terminal, are shown as U+FFFD, line
 * breaks as spaces; what reverses the direction of the text around it (UAX #9, embeddings and isolates) is left out.
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
