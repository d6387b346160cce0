// The board: chessground, by the Lichess team, told to show one position and to let nobody move.

import {Chessground} from "chessground";
import {ARROWS} from "viewer/arrows";

const BRUSHES = Object.fromEntries(ARROWS.map(({kind, color, opacity, width}) => [kind, {key: kind, color, opacity, lineWidth: width}]));

/** A board in this element: a function that shows a position `{fen, last, check, white}` with arrows. */
export function board(element) {
  const ground = Chessground(element, {
    viewOnly: true,
    coordinates: true,
    animation: {duration: 120},
    drawable: {enabled: false, visible: true, brushes: BRUSHES},
  });
  return (position, arrows, flipped) => ground.set({
    fen: position.fen,
    orientation: flipped ? "black" : "white",
    turnColor: position.white ? "white" : "black",
    check: Boolean(position.check),
    lastMove: position.last ? [position.last.slice(0, 2), position.last.slice(2, 4)] : undefined,
    drawable: {autoShapes: arrows.map(({kind, from, to}) => ({orig: from, dest: to, brush: kind}))},
  });
}
