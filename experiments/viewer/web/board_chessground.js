// The board: chessground, by the Lichess team, told to show one position and to let nobody move.

import {Chessground} from "chessground";

/** Colour and width of each kind of arrow; where two lie on each other the narrower one is on top. */
const BRUSHES = {
  played: {key: "played", color: "#7d6bb0", opacity: 0.75, lineWidth: 16},
  honest: {key: "honest", color: "#2a9d6f", opacity: 0.85, lineWidth: 12},
  advised: {key: "advised", color: "#2f6bd8", opacity: 0.9, lineWidth: 8},
  lie: {key: "lie", color: "#d64545", opacity: 0.9, lineWidth: 8},
  own: {key: "own", color: "#ee8a1d", opacity: 1, lineWidth: 4},
};

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
