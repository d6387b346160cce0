"""One game of a ledger as a page that steps through it, complete in itself.

Squares and pieces are python-chess's; each is in the page once, and a position only places the pieces.
"""

import html
from collections.abc import Iterator, Mapping
from typing import Any

import chess
import chess.svg

from sandwich.protocol.annotated_games import proposals, result_of, student_color

COLORS = {"honest": "#2e7d32", "advised": "#c62828", "own_move": "#1565c0", "played": "#555555"}
"""Colours of the arrows; a later one is drawn over an earlier one."""
NAMES = {"honest": "honest answer", "advised": "advised", "own_move": "own choice", "played": "played"}
"""What each arrow says."""

SQUARE, MARGIN = 45, 15
"""Sizes in python-chess's picture of a board."""


def game_page(rows: Mapping[str, list[Any]]) -> str:
    """The page of a game, from its ledger columns; it opens at the lie that gives away most, else at the start."""
    flipped = student_color(rows) == chess.BLACK
    said = proposals(rows)
    end = chess.Board(rows["fen"][-1])
    end.push_uci(rows["played"][-1])
    names = ("copy", "student") if flipped else ("student", "copy")
    title = f"Game {rows['game'][0]}: {names[0]} – {names[1]}, {result_of(rows)}"
    frames = [
        f"<g class='f'>{_pieces(chess.Board(fen), flipped)}{''.join(_arrows(rows, ply, flipped))}</g>"
        for ply, fen in enumerate(rows["fen"])
    ]
    frames.append(f"<g class='f'>{_pieces(end, flipped)}</g>")
    lines = [f"<li{' class=lie' if rows['misaligned'][ply] else ''}>{html.escape(t)}" for ply, t in enumerate(said)]
    legend = "".join(f"<span style='color:{color}'>➜ {NAMES[kind]}</span> " for kind, color in COLORS.items())
    places = {"title": html.escape(title), "board": _board("".join(frames), flipped), "legend": legend,
              "lines": "\n".join([*lines, "<li>end"]), "first": str(_opened_at(rows))}  # fmt: skip
    page = PAGE
    for name, text in places.items():
        page = page.replace(f"%{name}%", text)
    return page


def _opened_at(rows: Mapping[str, list[Any]]) -> int:
    lies = [ply for ply, lie in enumerate(rows["misaligned"]) if lie]
    return max(lies, key=lambda ply: rows["loss_advised"][ply] or 0.0, default=0)


def _board(inside: str, flipped: bool) -> str:
    """An empty board with what stands on it."""
    empty = str(chess.svg.board(None, orientation=chess.BLACK if flipped else chess.WHITE))
    symbols = "".join(chess.svg.PIECES.values())
    return empty.replace("</svg>", f"<defs>{symbols}</defs>{inside}</svg>").replace("<svg ", "<svg id='board' ", 1)


def _pieces(board: chess.Board, flipped: bool) -> str:
    found = []
    for square, piece in board.piece_map().items():
        x, y = _corner(square, flipped)
        color = chess.COLOR_NAMES[piece.color]
        name = f"{color}-{chess.piece_name(piece.piece_type)}"
        found.append(f"<use href='#{name}' x='{x}' y='{y}'/>")
    return "".join(found)


def _corner(square: chess.Square, flipped: bool) -> tuple[int, int]:
    file, rank = chess.square_file(square), chess.square_rank(square)
    column, line = (7 - file, rank) if flipped else (file, 7 - rank)
    return MARGIN + SQUARE * column, MARGIN + SQUARE * line


def _arrows(rows: Mapping[str, list[Any]], ply: int, flipped: bool) -> Iterator[str]:
    """Moves proposed and played at a ply; of equal ones all are drawn, the later ones thinner."""
    kinds = COLORS if rows["asked"][ply] else ("played",)
    for thinner, kind in enumerate(kinds):
        if not (uci := rows[kind][ply]):
            continue
        move = chess.Move.from_uci(uci)
        ends = [at + SQUARE // 2 for square in (move.from_square, move.to_square) for at in _corner(square, flipped)]
        x, y, to_x, to_y = ends
        yield (
            f"<line x1='{x}' y1='{y}' x2='{to_x}' y2='{to_y}' class='{kind}' stroke='{COLORS[kind]}'"
            f" stroke-width='{9 - 2 * thinner}' stroke-linecap='round' opacity='.75'/>"
            f"<circle cx='{to_x}' cy='{to_y}' r='{9 - 2 * thinner}' fill='{COLORS[kind]}'/>"
        )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>%title%</title>
<style>
body{font:14px/1.4 sans-serif;margin:8px;color:#222;background:#fff}
h1{font-size:16px;margin:0 0 6px}
main{display:flex;flex-wrap:wrap;gap:12px}
#board{width:390px;max-width:100%;height:auto}
.f{display:none}.f.on{display:inline}
ol{list-style:none;margin:0;padding:0;height:390px;overflow:auto;flex:1;min-width:240px}
li{padding:1px 6px;cursor:pointer}li.lie{color:#c62828}li.on{background:#e3ecfa}
button{font-size:16px;min-width:44px}
</style></head><body>
<h1>%title%</h1>
<main><div>%board%
<div><button id="first">«</button><button id="back">‹</button><button id="next">›</button><button id="last">»</button>
<span id="at"></span></div><div>%legend%</div></div>
<ol>
%lines%
</ol></main>
<script>
const frames=[...document.querySelectorAll(".f")],lines=[...document.querySelectorAll("li")];
let ply=-1;
function show(to){
  to=Math.max(0,Math.min(frames.length-1,to));
  if(ply>=0){frames[ply].classList.remove("on");lines[ply].classList.remove("on")}
  ply=to;frames[ply].classList.add("on");lines[ply].classList.add("on");
  const list=lines[ply].parentNode;list.scrollTop=lines[ply].offsetTop-list.offsetTop-150;
  document.getElementById("at").textContent=ply+" / "+(frames.length-1);
}
const steps={first:()=>0,back:()=>ply-1,next:()=>ply+1,last:()=>frames.length-1};
for(const id in steps)document.getElementById(id).onclick=()=>show(steps[id]());
const keys={ArrowLeft:"back",ArrowRight:"next",Home:"first",End:"last"};
document.onkeydown=e=>{if(keys[e.key]){e.preventDefault();show(steps[keys[e.key]]())}};
lines.forEach((line,at)=>line.onclick=()=>show(at));
show(%first%);
</script></body></html>
"""
