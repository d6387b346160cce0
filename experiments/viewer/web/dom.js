// Elements made by name. Text only ever goes in as text, so nothing that a file says becomes markup.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path", "line", "circle", "rect", "text", "g", "polyline", "title"]);

/** An element with attributes and children; a child that is no node becomes text. */
export function make(tag, attributes = {}, ...children) {
  const node = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element with this id. */
export const at = (id) => document.getElementById(id);

/** A number with as many digits behind the point, and a true minus. */
export const number = (value, digits) => value.toFixed(digits).replace("-", "−");

const LOW = "₀₁₂₃₄₅₆₇₈₉";

/** The student after so many steps: W₀, W₁, … */
export const student = (step) => "W" + [...String(step)].map((digit) => LOW[digit]).join("");
