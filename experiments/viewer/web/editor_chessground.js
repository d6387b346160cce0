// The editor's board: chessground, by the Lichess team. It shows a position, and says what was done to it.

import {Chessground} from "chessground";

const BRUSHES = {own: {key: "own", color: "#2f6bd8", opacity: 0.85, lineWidth: 10}};
const ROLES = {p: "pawn", n: "knight", b: "bishop", r: "rook", q: "queen", k: "king"};
const piece = (letter) => ({role: ROLES[letter.toLowerCase()], color: letter === letter.toLowerCase() ? "black" : "white"});

/** A board in this element: a function that shows `{fen, tool, dests, move, heat, asked, flipped}`.
 * `heard.placed(placement)` after an edit, `heard.chosen(from, to)` after a move in the tool "move",
 * `heard.pressed(square)` for the other tools. */
export function editor(element, heard) {
  let tool = "hand";
  const free = () => tool !== "move" && heard.placed(ground.getFen());
  const ground = Chessground(element, {
    autoCastle: false,
    disableContextMenu: true,
    animation: {enabled: false},
    highlight: {lastMove: false, check: false},
    premovable: {enabled: false},
    predroppable: {enabled: false},
    draggable: {deleteOnDropOff: true},
    drawable: {enabled: false, visible: true, brushes: BRUSHES},
    movable: {events: {after: (from, to) => tool === "move" && heard.chosen(from, to)}},
    events: {change: free, dropNewPiece: () => tool === "move" && heard.placed(ground.getFen()), select: (square) => tool !== "hand" && tool !== "move" && heard.pressed(square)},
  });
  const draw = (shown) => {
    tool = shown.tool;
    const custom = new Map([...shown.heat].map(([square, level]) => [square, `heat-${level}`]));
    if (shown.asked) custom.set(shown.asked, `${custom.get(shown.asked) ?? ""} asked`.trim());
    const [white, black] = ["white", "black"];
    const mover = shown.fen.split(" ")[1] === "b" ? black : white;
    ground.set({
      fen: shown.fen,
      orientation: shown.flipped ? black : white,
      turnColor: mover,
      draggable: {deleteOnDropOff: tool === "hand"},
      movable: {free: tool === "hand", color: {hand: "both", move: mover}[tool], dests: tool === "move" ? shown.dests : new Map()},
      highlight: {custom},
      drawable: {autoShapes: shown.move ? [{orig: shown.move.slice(0, 2), dest: shown.move.slice(2, 4), brush: "own"}] : []},
    });
  };
  return {draw, drag: (letter, event) => ground.dragNewPiece(piece(letter), event, true)};
}

/** The face of a piece on a button. */
export function face(letter) {
  const wrap = document.createElement("span"), image = document.createElement("piece"), {role, color} = piece(letter);
  wrap.className = "cg-wrap";
  image.className = `${color} ${role}`;
  wrap.append(image);
  return wrap;
}
