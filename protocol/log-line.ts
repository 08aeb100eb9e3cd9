/** Line breaks of any script, and the control characters that steer a terminal. */
const BREAKS_LINE = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

/** Text as a part of one line: what would begin another line of a log, or steer the terminal that shows it, is escaped. */
export function oneLine(text: string): string {
  return text.replace(BREAKS_LINE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** An error as one line: its name, its message, and where it was thrown from. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  return [oneLine(`${error.name}: ${error.message}`), ...framesOf(error)].join(" ");
}

/** An error without its message, which may hold what a client sent: its name, and the place where it was thrown. */
export function placeOfError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const [frame = "at an unknown place"] = framesOf(error);
  return `${oneLine(error.name)} ${frame}`;
}

/** The lines of a stack, without the message that it begins with: that may look like them. */
function framesOf({ message, stack = "" }: Error): string[] {
  const begin = stack.indexOf(message);
  if (begin === -1) return [];
  const [, ...frames] = stack.slice(begin + message.length).split("\n");
  return frames.map((frame) => oneLine(frame.trim()));
}
