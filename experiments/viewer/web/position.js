// A position as the editor has it: FEN taken apart and put together again. Whether it is legal, the server says.

export const INITIAL = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1";
export const EMPTY = "8/8/8/8/8/8/8/8 w - - 0 1";
export const CASTLING = {K: "White O-O", Q: "White O-O-O", k: "Black O-O", q: "Black O-O-O"};

/** a8, b8 … h1: the order of squares in a FEN. */
export const SQUARES = [..."87654321"].flatMap((rank) => [..."abcdefgh"].map((file) => file + rank));

/** A FEN whose board has eight rows of eight, its missing fields filled in; null for anything else. */
export function complete(text) {
  const fields = text.trim().split(/\s+/);
  const width = (row) => [...row].reduce((sum, letter) => sum + (/[1-8]/.test(letter) ? Number(letter) : 1), 0);
  const rows = fields[0].split("/");
  if (rows.length !== 8 || !rows.every((row) => /^[pnbrqkPNBRQK1-8]+$/.test(row) && width(row) === 8)) return null;
  return ["", "w", "-", "-", "0", "1"].map((usual, place) => fields[place] ?? usual).join(" ");
}

/** Square → letter of the piece on it. */
export function pieces(fen) {
  const board = new Map();
  let place = 0;
  for (const letter of fen.split(" ")[0].replaceAll("/", "")) {
    if (/[1-8]/.test(letter)) place += Number(letter);
    else board.set(SQUARES[place++], letter);
  }
  return board;
}

/** The first field of a FEN. */
export function placement(board) {
  const row = (rank) => SQUARES.slice(8 * rank, 8 * rank + 8).map((square) => board.get(square) ?? "1").join("").replace(/1+/g, (gap) => gap.length);
  return [0, 1, 2, 3, 4, 5, 6, 7].map(row).join("/");
}

/** The FEN with other fields; a piece that is moved leaves no square to take en passant. */
export function edited(fen, {board, turn, castling, clock}) {
  const old = fen.trim().split(/\s+/);
  return [board ?? old[0], turn ?? old[1] ?? "w", (castling ?? old[2]) || "-", "-", clock ?? old[4] ?? 0, 1].join(" ");
}

/** The FEN with a piece (null: none) on a square. */
export function put(fen, square, letter) {
  const board = pieces(fen);
  if (letter) board.set(square, letter);
  else board.delete(square);
  return edited(fen, {board: placement(board)});
}

/** The FEN with a piece moved. */
export function moved(fen, from, to) {
  const board = pieces(fen), letter = board.get(from);
  if (!letter || from === to) return fen;
  board.delete(from);
  board.set(to, letter);
  return edited(fen, {board: placement(board)});
}
