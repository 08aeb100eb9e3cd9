/** One picture, with its skin colour or its form; several that are joined to one; a single space between words. */
const EMOJI = String.raw`\p{Extended_Pictographic}[\u{1F3FB}-\u{1F3FF}\uFE0F]?`;
const SEEN = String.raw`${EMOJI}(?:\u200D${EMOJI})*|(?<=\S) (?=\S)`;

/** Controls, marks that change the order of the text, what has no width, and spaces. Private characters have no shape at all. */
const UNSEEN = String.raw`[\p{Cc}\p{Cf}\p{Co}\p{Z}\p{Default_Ignorable_Code_Point}]`;

const SEEN_OR_UNSEEN = new RegExp(`(${SEEN})|${UNSEEN}`, "gu");

/**
 * A text that a user typed, with the code of each character that is not seen: otherwise an operator takes one user for another
 * (Unicode TR 36, "Visual Security Issues").
 */
export function legible(text: string): string {
  return text.replace(SEEN_OR_UNSEEN, (found, seen: string | undefined) => seen ?? codeOf(found));
}

function codeOf(character: string): string {
  return `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}
