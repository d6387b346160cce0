// The kinds of moves and how each is drawn: the table of experiments/figures/arrows.py, which comes with the page.

import {at, make} from "viewer/dom";

/** `{kind, color, opacity, width, text}`, the lowest kind first; the width is in 64ths of a square. */
export const ARROWS = JSON.parse(at("start").textContent).arrows;

/** A piece of the arrow of this kind, for legends and tables. */
export const mark = (kind) => make("i", {class: `mark ${kind}`});

/** The kind of the move advised. */
export const adviceKind = (ply) => (ply.misaligned ? "lie" : "advised");
