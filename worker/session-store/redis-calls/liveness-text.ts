import { asText, UnexpectedReply } from "./reply-shape.ts";

/** What the check and read scripts say first: the time by Redis's clock, then a digit per session. */
export interface LivenessText {
  /** Epoch ms. */
  readonly now: number;
  isLive(index: number): boolean;
  touchIsDue(index: number): boolean;
}

/** Epoch ms has 13 digits until the year 2286. */
const CLOCK_DIGITS = 13;

/** Parses the text for `count` sessions. Throws UnexpectedReply. */
export function parseLiveness(reply: unknown, count: number): LivenessText {
  const text = asText(reply);
  if (text.length !== CLOCK_DIGITS + count || !/^\d{13}[012]*$/.test(text)) throw new UnexpectedReply();
  return {
    now: Number(text.slice(0, CLOCK_DIGITS)),
    isLive: (index) => text[CLOCK_DIGITS + index] !== "0",
    touchIsDue: (index) => text[CLOCK_DIGITS + index] === "2",
  };
}
