import { legible } from "./legible-text.ts";

/** Attributes of an element; `false` and undefined leave one out. */
type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export type Child = Node | string;

/** An element with attributes and children. Strings become text, never markup. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/** A button that does something. */
export function button(label: string, action: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const made = element("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", action);
  return made;
}

/** A text that a user typed: every character of it is seen, and its direction does not change that of the text around it. */
export function typed(text: string): HTMLElement {
  return element("bdi", {}, legible(text));
}

/** A field with its label above it. */
export function field(label: string, input: HTMLInputElement | HTMLSelectElement): HTMLElement {
  return element("div", { class: "field" }, element("label", { for: input.id }, label), input);
}

/** Names and values. */
export function facts(...entries: readonly (readonly [name: string, value: Child])[]): HTMLDListElement {
  return element(
    "dl",
    { class: "facts" },
    ...entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

/** A moment, in the browser's language and zone. */
export function moment(epochMs: number): HTMLTimeElement {
  const date = new Date(epochMs);
  return element("time", { datetime: date.toISOString() }, date.toLocaleString());
}

/** A time of day with seconds. */
export function clockTime(epochMs: number): string {
  return new Date(epochMs).toLocaleTimeString(undefined, { hour12: false });
}

/** "1 session", "2 sessions". */
export function counted(count: number, thing: string): string {
  return `${count.toLocaleString()} ${thing}${count === 1 ? "" : "s"}`;
}

/** What is asked before a change that cannot be undone. */
export interface Confirmation {
  readonly question: string;
  readonly consequence: string;
  /** What the button says that does it. */
  readonly action: string;
}

/** Asks in a modal dialog; true if the operator pressed the button that does it. Escape is no. */
export function confirmed({ question, consequence, action }: Confirmation): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const dialog = element(
    "dialog",
    { "aria-labelledby": "dialog-question", "aria-describedby": "dialog-consequence" },
    element("h2", { id: "dialog-question" }, question),
    element("p", { id: "dialog-consequence" }, consequence),
    element(
      "div",
      { class: "dialog-buttons" },
      button("Cancel", () => dialog.close(), { class: "quiet", autofocus: true }),
      button(action, () => dialog.close("yes"), { class: "danger" }),
    ),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(dialog.returnValue === "yes");
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}
