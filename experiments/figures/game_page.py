"""One game of a ledger as a page that steps through it, complete in itself.

Squares and pieces are python-chess's; each is in the page once, and a position only places the pieces.
"""

import html
from collections.abc import Iterator, Mapping
from typing import Any

import chess
import chess.svg

from experiments.figures.arrows import ARROWS, arrows_css, arrows_svg, kind_of_advice, square_corner
from sandwich.protocol.annotated_games import proposals, result_of, student_color

MOVES = (("own", "own_move", "loss_own"), ("advice", "advised", "loss_advised"),
         ("honest", "honest", "loss_honest"), ("played", "played", "loss_played"))  # fmt: skip
"""Of each kind of move the ledger's columns of the move and of what it gives away."""


def game_page(rows: Mapping[str, list[Any]]) -> str:
    """The page of a game, from its ledger columns; it opens at the lie that gives away most, else at the start."""
    flipped = student_color(rows) == chess.BLACK
    end = chess.Board(rows["fen"][-1])
    end.push_uci(rows["played"][-1])
    names = ("copy", "student") if flipped else ("student", "copy")
    title = f"Game {rows['game'][0]}: {names[0]} – {names[1]}, {result_of(rows)}"
    frames = [
        f"<g class='f'>{_pieces(chess.Board(fen), flipped)}{_arrows(rows, ply, flipped)}</g>"
        for ply, fen in enumerate(rows["fen"])
    ]
    frames.append(f"<g class='f'>{_pieces(end, flipped)}</g>")
    lines = [
        f"<li{' class=lied' if rows['misaligned'][ply] else ''}>{html.escape(text)}"
        for ply, text in enumerate(proposals(rows))
    ]
    parts = {"title": html.escape(title), "board": _board("".join(frames), flipped), "colors": arrows_css(dark=False),
             "decisions": "".join(_decision(rows, ply) for ply in range(len(rows["fen"]))),
             "lines": "\n".join([*lines, "<li>end"]), "first": str(_opened_at(rows))}  # fmt: skip
    page = PAGE
    for name, text in parts.items():
        page = page.replace(f"%{name}%", text)
    return page


def _opened_at(rows: Mapping[str, list[Any]]) -> int:
    lies = [ply for ply, lie in enumerate(rows["misaligned"]) if lie]
    return max(lies, key=lambda ply: -1.0 if (lost := rows["loss_advised"][ply]) is None else lost, default=0)


def _board(inside: str, flipped: bool) -> str:
    """An empty board with what stands on it."""
    empty = str(chess.svg.board(None, orientation=chess.BLACK if flipped else chess.WHITE))
    symbols = "".join(chess.svg.PIECES.values())
    return empty.replace("</svg>", f"<defs>{symbols}</defs>{inside}</svg>").replace("<svg ", "<svg id='board' ", 1)


def _pieces(board: chess.Board, flipped: bool) -> str:
    parts = []
    for square, piece in board.piece_map().items():
        x, y = square_corner(square, flipped)
        color = chess.COLOR_NAMES[piece.color]
        name = f"{color}-{chess.piece_name(piece.piece_type)}"
        parts.append(f"<use href='#{name}' x='{x}' y='{y}'/>")
    return "".join(parts)


def _moves(rows: Mapping[str, list[Any]], ply: int) -> Iterator[tuple[str, str, float | None]]:
    """Moves proposed and played at a ply: kind, UCI, and the expected score (0..1) given away where it is known."""
    for kind, column, loss in MOVES:
        if (rows["asked"][ply] or kind == "played") and rows[column][ply]:
            shown = kind_of_advice(rows["misaligned"][ply]) if kind == "advice" else kind
            yield shown, rows[column][ply], rows[loss][ply]


def _arrows(rows: Mapping[str, list[Any]], ply: int, flipped: bool) -> str:
    return arrows_svg(((kind, uci) for kind, uci, _ in _moves(rows, ply)), flipped=flipped)


def _decision(rows: Mapping[str, list[Any]], ply: int) -> str:
    """The table beside the board: each move with the Win% points that it loses. Also the legend of the arrows."""
    board = chess.Board(rows["fen"][ply])
    lines = []
    for kind, uci, lost in _moves(rows, ply):
        cost = "–" if lost is None else f"{100 * lost:.1f}"
        san = html.escape(board.san(chess.Move.from_uci(uci)))
        lines.append(f"<tr><td><i class='mark {kind}'></i>{ARROWS[kind].text}<td><b>{san}</b><td>{cost}")
    return f"<table class=d><tr><th>Move<th><th>Win% lost{''.join(lines)}</table>"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>%title%</title>
<style>
%colors%
*{box-sizing:border-box}
body{font:13px/1.35 sans-serif;margin:0;padding:6px 8px;height:100vh;color:#222;background:#fff;overflow:hidden}
body{display:grid;grid-template:auto auto minmax(0,1fr)/auto minmax(0,1fr);gap:4px 10px}
h1{grid-column:1/3;font-size:15px;margin:0;overflow:hidden;white-space:nowrap;text-overflow:ellipsis}
#board{display:block;grid-row:2;width:min(58vw,100vh - 84px,520px);height:auto}
nav{grid-row:3;grid-column:1;display:flex;gap:5px;align-items:center;align-self:start}
button{font-size:16px;min-width:40px;height:30px}
aside{grid-row:2/4;grid-column:2;display:flex;flex-direction:column;min-height:0}
.f,.d{display:none}.f.on{display:inline}.d.on{display:table}
#decisions{min-height:104px;flex:none}
.d{width:100%;border-collapse:collapse}.d td,.d th{padding:1px 0;text-align:left;font-weight:400}
.d th{color:#555}.d td:last-child,.d th:last-child{text-align:right;white-space:nowrap}
ol{list-style:none;margin:4px 0 0;padding:0;flex:1;min-height:0;overflow:auto;border-top:1px solid #ddd}
li{padding:1px 6px 1px 16px;cursor:pointer}li.lied{color:var(--lie)}li.on{background:#e3ecfa}
li.lied::before{content:"▲";float:left;margin-left:-14px;font-size:10px;line-height:17px}
.mark{width:16px!important;margin-right:5px!important}
</style></head><body>
<h1>%title%</h1>
%board%
<nav><button id="first" title="First (Home)">«</button><button id="back" title="Back (←)">‹</button>
<button id="next" title="On (→)">›</button><button id="last" title="Last (End)">»</button> <span id="at"></span></nav>
<aside><div id="decisions">%decisions%</div>
<ol>
%lines%
</ol></aside>
<script>
const all=name=>[...document.querySelectorAll(name)],parts=[all(".f"),all("li"),all(".d")],[frames,lines]=parts;
let ply=-1;
function show(to){
  to=Math.max(0,Math.min(frames.length-1,to));
  for(const part of parts){part[ply]?.classList.remove("on");part[to]?.classList.add("on")}
  ply=to;
  const list=lines[ply].parentNode;list.scrollTop=lines[ply].offsetTop-list.offsetTop-list.clientHeight/3;
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
