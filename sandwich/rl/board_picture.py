"""A position as a picture of pixels, drawn with the chess glyphs of the font that comes with matplotlib."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import chess
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SQUARE = 48
"""Pixels of a square's side."""
LIGHT, DARK, MARKED = (240, 217, 181), (181, 136, 99), (205, 210, 106)
FONT = Path("fonts", "ttf", "DejaVuSans.ttf")


def board_picture(
    board: chess.Board, lines: Sequence[str] = (), marked: chess.Move | None = None
) -> npt.NDArray[np.uint8]:
    """Pixels `[H, 384, 3]`: the board, White below, and under it lines of text; the squares of `marked` in colour."""
    side = 8 * SQUARE
    image = Image.new("RGB", (side, side + 20 * len(lines)), "white")
    draw = ImageDraw.Draw(image)
    squares = () if marked is None else (marked.from_square, marked.to_square)
    for square in chess.SQUARES:
        x, y = chess.square_file(square) * SQUARE, (7 - chess.square_rank(square)) * SQUARE
        dark = (chess.square_file(square) + chess.square_rank(square)) % 2 == 0
        draw.rectangle((x, y, x + SQUARE - 1, y + SQUARE - 1), MARKED if square in squares else DARK if dark else LIGHT)
        if piece := board.piece_at(square):
            glyph = chess.Piece(piece.piece_type, chess.BLACK).unicode_symbol()  # the filled form, for both sides
            fill, edge = ("white", "black") if piece.color else ("black", "white")
            centre = (x + SQUARE / 2, y + SQUARE / 2)
            draw.text(centre, glyph, fill, _font(SQUARE * 3 // 4), "mm", stroke_width=1, stroke_fill=edge)
    for number, line in enumerate(lines):
        draw.text((4, side + 20 * number + 10), line, "black", _font(13), "lm")
    return np.array(image)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path  # takes a while to import

    return ImageFont.truetype(Path(get_data_path()) / FONT, size)
