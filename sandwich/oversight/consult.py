"""What an oversight strategy may find out before it decides, and how it asks for it.

A strategy that needs more than the first answer is a generator: it yields what it wants to know, is
sent the reply, and returns its decision. It never calls a network itself, so that the requests of
many games are answered together (`sandwich.protocol.query_executor`), and every one of them is counted.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from agents.advice import Advice, Channel
from engines import moves, planes
from engines.inference import Evaluation
from engines.positions import successors
from engines.ragged import MoveLists

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ask:
    """The assistant's answers about positions, each a question of the budget.

    packed: `[B, 10]` packed positions, on the board or not.
    legal: numbers of the legal moves of each.
    channel: what is asked for; `candidates` stands for the best move here.
    advisor: the seat of the assistant, where there are several: 0, who answered first, or more.
    The reply is a list of `B` pieces of advice. Raises ValueError for what can't be asked.
    """

    packed: planes.Packed
    legal: Sequence[Sequence[int]]
    channel: Channel = Channel.MOVE
    advisor: int = 0

    def __post_init__(self) -> None:
        _check(self.packed, self.legal)
        if not isinstance(self.channel, Channel):
            raise ValueError(f"expected a Channel, got {self.channel!r}")
        advisor: object = self.advisor  # a plugin may say anything
        if not isinstance(advisor, int | np.integer) or isinstance(advisor, bool) or advisor < 0:
            raise ValueError(f"expected advisor 0 or more, got {advisor!r}")


@dataclass(frozen=True, eq=False)
class Evaluate:
    """What the student's own network thinks of positions `[B, 10]`; the reply is an `Evaluation`.

    rows: `[B]` the question that each is looked at for, where many are decided at once (`Oversight.decide_all`).
    network: another one, by its name or path, which the strategy has as a setting of the type `Checkpoint`.
    Raises ValueError for what can't be looked at.
    """

    packed: planes.Packed
    legal: Sequence[Sequence[int]]
    rows: Integers | None = None
    network: str | None = None

    def __post_init__(self) -> None:
        _check(self.packed, self.legal)
        if not isinstance(self.network, str | None):
            raise ValueError(f"expected the name or path of a network, got {self.network!r}")


@dataclass(frozen=True, eq=False)
class AskExpert:
    """The expert's true answer about the position on the board, of which there are few; the reply is its `Advice`."""


@dataclass(frozen=True, eq=False)
class Risks:
    """What a blunder filter says of positions `[B, 10]`.

    filter: path of its file, which the strategy has as a setting of the type `FilterCheckpoint`.
    The reply is for each position `[M]`, the probability that each legal move is a catastrophe; and the probability
    from which on the filter was calibrated to refuse a move.
    """

    packed: planes.Packed
    legal: Sequence[Sequence[int]]
    filter: str

    def __post_init__(self) -> None:
        _check(self.packed, self.legal)
        if not isinstance(self.filter, str):
            raise ValueError(f"expected the path of a filter, got {self.filter!r}")


def _check(packed: object, legal: Sequence[Sequence[int]]) -> None:
    shape = len(legal), planes.WORDS
    if not isinstance(packed, np.ndarray) or packed.dtype != np.uint64 or packed.shape != shape:
        got = f"{packed.dtype} of {packed.shape}" if isinstance(packed, np.ndarray) else type(packed).__name__
        raise ValueError(f"expected packed of type uint64 and shape {shape}, as many as legal, got {got}")
    numbers = MoveLists.of(legal)
    if not numbers.sizes.all():
        raise ValueError("expected positions in which there is a legal move, got one without")
    if len(outside := np.flatnonzero((numbers.flat < 0) | (numbers.flat >= moves.SIZE))):
        raise ValueError(f"expected the numbers of legal moves, got {list(legal[numbers.owners[outside[0]]])}")


@dataclass(frozen=True, eq=False)
class ActionRequest:
    """A choice left to whoever carries the games on (`sandwich.rl`); the reply is an action.

    situation: all that the choice may depend on (`sandwich.oversight.deliberation.Situation`).
    """

    situation: Any


Request = Ask | Evaluate | AskExpert | Risks | ActionRequest
T = TypeVar("T")
Consultation = Generator[Request, Any, T]
"""What yields requests, is sent their replies and returns a `T`; to be used with `yield from`."""


def ask(
    packed: planes.Packed, legal: Sequence[Sequence[int]], channel: Channel = Channel.MOVE, advisor: int = 0
) -> Consultation[list[Advice]]:
    """The assistant's answers about positions `[B, 10]`."""
    answers: list[Advice] = yield Ask(packed, legal, channel, advisor)
    return answers


def evaluate(
    packed: planes.Packed, legal: Sequence[Sequence[int]], rows: Integers | None = None, network: str | None = None
) -> Consultation[Evaluation]:
    """What the student's own network thinks of positions `[B, 10]`, each looked at for the question in its row.

    network: another one, which the strategy names.
    """
    evaluation: Evaluation = yield Evaluate(packed, legal, rows, network)
    return evaluation


def ask_expert() -> Consultation[Advice]:
    """The expert's true answer about the position on the board."""
    truth: Advice = yield AskExpert()
    return truth


def risks(
    checkpoint: str, packed: planes.Packed, legal: Sequence[Sequence[int]]
) -> Consultation[tuple[list[Floats], float]]:
    """What a blunder filter says of every legal move of positions `[B, 10]`, and its own threshold."""
    reply: tuple[list[Floats], float] = yield Risks(packed, legal, checkpoint)
    return reply


def own_values(
    packed: planes.Packed, chosen: Sequence[int] | Integers, rows: Integers | None = None
) -> Consultation[Floats]:
    """Expected score `[K]`, for who moves, of moves of one position `[10]`, or of a move of each of `[K, 10]`.

    One less that of where they lead, by the student's own network: one evaluation for each move that does not end the
    game.
    rows: `[K]` the question that each is looked at for, where many are decided at once.
    """
    after = successors(np.broadcast_to(packed, (len(chosen), planes.WORDS)), chosen)
    worth = after.score.copy()
    going_on = np.flatnonzero(np.isnan(worth))
    if len(going_on):
        evaluation = yield from evaluate(after.packed[going_on], after.legal.take(going_on), _some(rows, going_on))
        worth[going_on] = evaluation.value
    return np.clip(1 - worth, 0, 1)


def searched_values(
    packed: planes.Packed, chosen: Sequence[int] | Integers, replies: int, rows: Integers | None = None
) -> Consultation[Floats]:
    """As `own_values`, behind the best of the opponent's `replies` likeliest replies to each move.

    Costs one evaluation for each move and one for each reply that doesn't end the game. The likeliest replies are those
    of the student's own policy, seen from the other side.
    """
    after = successors(np.broadcast_to(packed, (len(chosen), planes.WORDS)), chosen)
    worth = after.score.copy()
    going_on = np.flatnonzero(np.isnan(worth))
    if not len(going_on):
        return 1 - worth
    evaluation = yield from evaluate(after.packed[going_on], after.legal.take(going_on), _some(rows, going_on))
    lines = [
        [after.legal[row][place] for place in np.argsort(-policy, kind="stable")[:replies]]
        for row, policy in zip(going_on, evaluation.policy, strict=True)
    ]
    sizes = np.array([len(line) for line in lines])
    parents = np.repeat(going_on, sizes)
    behind = successors(after.packed[parents], [move for line in lines for move in line])
    leaves = behind.score.copy()
    open_rows = np.flatnonzero(np.isnan(leaves))
    if len(open_rows):
        of = _some(rows, parents[open_rows])
        leaves[open_rows] = (yield from evaluate(behind.packed[open_rows], behind.legal.take(open_rows), of)).value
    # A leaf is seen by the player again: its value is the player's own, and the opponent picks the lowest.
    worth[going_on] = 1 - np.minimum.reduceat(leaves, np.cumsum(sizes) - sizes)
    return np.clip(1 - worth, 0, 1)


def _some(rows: Integers | None, places: Integers) -> Integers | None:
    return None if rows is None else rows[places]


def answered(packed: planes.Packed, move: int, advisor: int = 0) -> Consultation[tuple[float, int | None]]:
    """Expected score, for who moves, behind a move of one position `[10]` and an assistant's reply to it; that reply.

    By the student's own network: one question and at most one evaluation, none where the move ends the game (None).
    """
    after = successors(packed[None], [move])
    if not np.isnan(after.score[0]):
        return float(1 - after.score[0]), None
    (reply,) = yield from ask(after.packed, after.legal, Channel.MOVE, advisor)
    assert reply.move is not None
    behind = successors(after.packed, [reply.move])
    if not np.isnan(behind.score[0]):
        return float(behind.score[0]), reply.move
    return float((yield from evaluate(behind.packed, behind.legal)).value[0]), reply.move
