// Making elements. Text is only ever set as text, so nothing of a log can become markup.

export const $ = (id) => document.getElementById(id);

/** An element: `on*` properties are listeners, others attributes; null and false leave them out. */
export function el(tag, given = {}, ...children) {
  const svg = ["svg", "path", "circle", "title"].includes(tag);
  const made = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== false));
  return made;
}

/** A bar of a share from 0 to 1; its width is set by script because the policy allows no inline style. */
export function bar(share, kind = "") {
  const fill = el("span", { class: `fill ${kind}` });
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return el("span", { class: "bar", "aria-hidden": "true" }, fill);
}

export const number = (value, digits = 3) => (value === null ? "–" : value.toFixed(digits));

export function signed(value, digits = 3) {
  const size = Math.abs(value).toFixed(digits);
  if (Number(size) === 0) return size;
  return `${value < 0 ? "−" : "+"}${size}`;
}
