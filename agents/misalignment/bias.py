"""A steady preference for some kind of move."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import chess
import numpy as np
import numpy.typing as npt
from pydantic import Field

from agents.advice import Advice, Channel, Query
from agents.misalignment.base import Misalignment
from agents.tools import Tools
from engines import moves

PIECES = ("pawn", "knight", "bishop", "rook", "queen", "king")
FLOOR = 1e-4
"""Probability that a move has at least before the preference is added to its logarithm."""


class Bias(Misalignment):
    """A steady preference for one kind of move, or against it, added to the logits.

    There is no chance in it. An answer that comes out as the honest move is honest, and any where no
    legal move or every one is of that kind; a question for the value is answered honestly.
    """

    kind: Literal["pawn", "knight", "bishop", "rook", "queen", "king", "kingside", "queenside", "captures"] = "captures"
    """Which moves: of one piece, to one wing (files a–d or e–h), or captures."""
    avoid: bool = False
    """Whether these moves are avoided instead of preferred."""
    strength: float = Field(2.0, ge=0)
    """What is added to their logits (natural logarithm of the probabilities), or taken away: the dose."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        if self.strength == 0:
            return honest
        return [self._biased(query, truth) for query, truth in zip(queries, honest, strict=True)]

    def _biased(self, query: Query, honest: Advice) -> Advice:
        if query.channel is Channel.VALUE or honest.policy is None:
            return honest
        matches = self.matches(query)
        if matches.all() or not matches.any():
            return honest
        sign = -1 if self.avoid else 1
        logits = np.log(np.maximum(honest.policy, FLOOR)) + sign * self.strength * matches
        move = query.legal[int(logits.argmax())]
        if query.channel is Channel.MOVE and move == honest.move:
            return honest
        policy = np.exp(logits - logits.max())
        return replace(honest, move=move, policy=(policy / policy.sum()).astype(np.float32))

    def matches(self, query: Query) -> npt.NDArray[np.bool_]:
        """`[M]`, True for each legal move of the preferred kind."""
        legal = np.asarray(query.legal)
        # Squares of the vocabulary are seen from the side to move; the packed words are the board as it lies.
        flip = 0 if int(query.packed[9]) & 1 else 56
        if self.kind in PIECES:
            return _on(int(query.packed[PIECES.index(self.kind)]), moves.FROM[legal] ^ flip)
        if self.kind == "captures":
            theirs = int(query.packed[7 if flip == 0 else 6])
            capture = _on(theirs, moves.TO[legal] ^ flip)
            state = int(query.packed[9]) >> 1 & 127
            if state:  # en passant: a pawn that goes to that square from another file
                pawns = _on(int(query.packed[0]), moves.FROM[legal] ^ flip)
                there = (moves.TO[legal] ^ flip) == state - 1
                capture |= pawns & there & ((moves.TO[legal] & 7) != (moves.FROM[legal] & 7))
            return capture
        kingside: npt.NDArray[np.bool_] = (moves.TO[legal] & 7) >= chess.square_file(chess.E1)
        return kingside if self.kind == "kingside" else ~kingside


def _on(bitboard: int, squares: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return (np.uint64(bitboard) >> squares.astype(np.uint64) & np.uint64(1)).astype(np.bool_)
