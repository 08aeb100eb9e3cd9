/**
 * The element with this id, which the page's markup has.
 *
 * @throws Error it has not, or it is another element: page and script do not belong together
 */
export function pageElement<E extends HTMLElement>(id: string, type: abstract new () => E): E {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`#${id}: not on this page`);
}
