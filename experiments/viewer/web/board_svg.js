// The board where chessground could not be had: pictures drawn by python-chess, by the server or beforehand.

import {make} from "viewer/dom";

/** A board in this element: a function that shows a position with arrows, or its picture where there is one. */
export function board(element) {
  const image = make("img", {class: "picture", alt: "Board"});
  element.replaceChildren(image);
  return (position, arrows, flipped, picture) => {
    if (picture) {
      image.src = `data:image/svg+xml;base64,${btoa(String.fromCharCode(...new TextEncoder().encode(picture)))}`;
      return;
    }
    const asked = new URLSearchParams({fen: position.fen});
    if (position.last) asked.set("last", position.last);
    if (flipped) asked.set("flip", "");
    for (const {kind, from, to} of arrows) asked.append("arrow", `${kind}:${from}${to}`);
    image.src = `/board.svg?${asked}`;
  };
}
