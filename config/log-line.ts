/** All line breaks of Unicode, and the control characters that a terminal interprets. */
const BREAKS_LINE = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

/** Escapes line breaks and control characters, so that the text stays on one line of a log and cannot control a terminal. */
export function oneLine(text: string): string {
  return text.replace(BREAKS_LINE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** An error as one line: its name, its message and its stack. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  return [oneLine(`${error.name}: ${error.message}`), ...framesOf(error)].join(" ");
}

/** The name of an error and the place where it was thrown, without its message, which may contain input of a client. */
export function placeOfError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const [frame = "at an unknown place"] = framesOf(error);
  return `${oneLine(error.name)} ${frame}`;
}

/** The frames of a stack. The message in front of them is removed first: its lines may look like frames. */
function framesOf({ message, stack = "" }: Error): string[] {
  const begin = stack.indexOf(message);
  if (begin === -1) return [];
  const [, ...frames] = stack.slice(begin + message.length).split("\n");
  return frames.map((frame) => oneLine(frame.trim()));
}
