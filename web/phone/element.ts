/** The page's element of this id. */
export function element<T extends HTMLElement = HTMLElement>(id: string, type?: new () => T): T {
  const found = document.getElementById(id);
  if (!found || (type && !(found instanceof type))) {
    throw new Error(`the page has no #${id}`);
  }
  return found as T;
}

/** Shows a text, or hides the element where there is none. */
export function say(target: HTMLElement, text: string): void {
  target.hidden = text === '';
  target.textContent = text;
}
