"""Consistency: believes an assistant that agrees with itself."""

from collections.abc import Sequence

import chess
import numpy as np
from pydantic import Field

from agents.advice import Channel
from engines import moves, planes
from engines.positions import successors
from sandwich.oversight.base import Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Consultation, Floats, ask, evaluate


class Consistency(Oversight):
    """Believes a move only if the assistant's other answers bear it out; five questions for one decision.

    Four checks: in the mirrored position it names the mirrored move; the position is worth to it what it is worth
    behind the move; it does not think it worth less than the student does; and behind the reply that it would give as
    the opponent, it is still worth as much. A value is believed if the position with the colours exchanged, or its
    mirror image, is worth the same to it.
    """

    tolerance: float = Field(0.1, ge=0, le=1)
    """Expected score by which two values that should be the same may differ, 0..1."""
    passed: int = Field(3, ge=1, le=4)
    """Checks that a move has to pass to be believed."""

    @property
    def questions(self) -> int:
        return 5

    def decide(self, context: DecisionContext) -> Consultation[Decision]:
        return self._value(context) if context.advised is None else self._move(context, context.advised)

    def _value(self, context: DecisionContext) -> Consultation[Decision]:
        packed, legal, _ = mirrored(context)
        again = yield from ask(packed[None], [legal], Channel.VALUE)
        assert again[0].value is not None and context.advice.value is not None
        apart = abs(again[0].value - context.advice.value)
        return Decision(context.own.move, believed=apart <= self.tolerance, confidence=-apart)

    def _move(self, context: DecisionContext, advised: int) -> Consultation[Decision]:
        query = context.query
        packed, legal, back = mirrored(context)
        image = yield from ask(packed[None], [legal])
        after = successors(query.packed[None], [advised])
        if np.isnan(after.score[0]):
            before = yield from ask(query.packed[None], [query.legal], Channel.VALUE)
            behind = yield from ask(after.packed, after.legal, Channel.VALUE)
            reply = yield from ask(after.packed, after.legal)
            assert before[0].value is not None and behind[0].value is not None and reply[0].move is not None
            answered = successors(after.packed, [reply[0].move])
            worth = yield from self._own(answered.packed, answered.legal, answered.score)
            values = np.array([before[0].value, 1 - behind[0].value])
            checks = [
                abs(values[0] - values[1]) <= self.tolerance,
                values.min() >= context.own.value - self.tolerance,
                worth >= context.own.value - self.tolerance,
            ]
        else:  # the move ends the game: there is nothing to ask about
            checks = [1 - after.score[0] >= context.own.value - self.tolerance] * 3
        agreed = sum(map(bool, [image[0].move is not None and back.get(image[0].move) == advised, *checks]))
        believed = agreed >= self.passed
        return Decision(advised if believed else context.own.move, believed, confidence=float(agreed))

    def _own(self, packed: planes.Packed, legal: Sequence[Sequence[int]], score: Floats) -> Consultation[float]:
        """What the student thinks of one position, for its side to move."""
        if not np.isnan(score[0]):
            return float(score[0])
        evaluation = yield from evaluate(packed, legal)
        return float(evaluation.value[0])


def mirrored(context: DecisionContext) -> tuple[planes.Packed, list[int], dict[int, int]]:
    """The mirror image of a question's position: its words `[10]`, its legal moves, and the move each stands for.

    Left and right are exchanged where nobody may castle any more, else the colours.
    """
    board = planes.unpack(context.query.packed)
    sideways = not board.castling_rights
    image = board.transform(chess.flip_horizontal) if sideways else board.mirror()
    if sideways:
        image.ep_square = None if board.ep_square is None else _sideways(board.ep_square)
    back = {}
    for number in context.query.legal:
        move = moves.decode(number, board)
        turn = _sideways if sideways else chess.square_mirror
        twin = chess.Move(turn(move.from_square), turn(move.to_square), move.promotion)
        back[moves.encode(twin, image.turn)] = number
    return np.array(planes.pack(image), np.uint64), sorted(back), back


def _sideways(square: chess.Square) -> chess.Square:
    return square ^ 7
