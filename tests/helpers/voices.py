"""Answers of two voices, and what label models work with, for tests of label models."""

from collections.abc import MutableMapping, Sequence
from dataclasses import replace

import chess
import numpy as np
import pyarrow as pa

from engines import moves as encoding
from engines.ragged import MoveLists, Policies
from sandwich.label_models.base import AnswerSet, Bools, Fit, Floats, Integers, Workshop
from sandwich.oversight.base import Oversight
from sandwich.protocol.labelling import Bench, answer_set
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.progress import NO_PROGRESS
from sandwich.training.examples import Examples, TrainConfig
from tests.helpers.ledgers import table
from tests.helpers.small_players import INLINE, checkpoint, openings

OPENINGS = tuple(fen for fen in openings(40)[8:] for _ in range(2))
"""Positions in which games go on, each for both colours."""
FIT = TrainConfig(threads=1, device="cpu")


def bench(student: int = 2, seed: int = 3) -> Bench:
    """What label models work with in a run; its student is a network of random weights."""
    return Bench(checkpoint(student), FIT, {}, seed, 1, InferenceConfig(precision="fp32"), INLINE, NO_PROGRESS)


class Memories(Workshop):
    """Networks that remember how often each move was taught to them, whatever the position; none learns anything else.

    Keeps the rows that each was fitted to, and who judged each answer last. Of the objective `judge` it remembers how
    often each move was a yes and a no.
    """

    def __init__(self, answers: AnswerSet) -> None:
        self.student = b""
        self.config = TrainConfig()
        self.memory: MutableMapping[str, bytes] = {}
        self.answers = answers
        self.places = {row.tobytes(): place for place, row in enumerate(answers.packed)}
        self.taught: dict[bytes, set[int]] = {b"": set()}
        self.counts: dict[bytes, Floats] = {b"": np.ones(4096)}
        self.yes: dict[bytes, Floats] = {}
        self.judge: dict[bytes, bytes] = {}

    def rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(key)

    def fitted(self, fits: Sequence[Fit]) -> list[bytes]:
        return [self._fitted(fit.examples) for fit in fits]

    def _fitted(self, examples: Examples) -> bytes:
        name = f"{len(self.taught)}".encode()
        self.taught[name] = {self.places[row.tobytes()] for row in examples.packed}
        self.counts[name] = np.full(4096, 0.01)
        np.add.at(self.counts[name], examples.moves[:, 0], examples.weight)
        self.yes[name] = np.full((2, 4096), 0.01)
        for moves, verdict in zip(examples.moves.T, examples.policy.T, strict=True):
            np.add.at(self.yes[name], ((verdict > 0).astype(int), moves), np.abs(verdict))
        return name

    def policies(self, checkpoint: bytes, answers: AnswerSet, rows: Integers) -> Policies:
        self.judge |= {bytes(answers.packed[row]): checkpoint for row in rows}
        chances = [self.counts[checkpoint][legal] for legal in answers.legal.take(rows)]
        return Policies.of([(row / row.sum()).astype(np.float32) for row in chances])

    def verdicts(self, checkpoint: bytes, answers: AnswerSet, rows: Integers) -> Floats:
        self.judge |= {bytes(answers.packed[row]): checkpoint for row in rows}
        no, yes = self.yes[checkpoint][:, answers.advised[rows]]
        return np.asarray(np.log(yes / no))

    def decisions(self, oversight: Oversight, answers: AnswerSet) -> tuple[Bools, Floats]:
        raise AssertionError("nobody asked")

    def judged_by_others(self) -> bool:
        """Whether nobody judged a position in the end who was fitted to games from its opening."""
        opening = dict(zip(map(bytes, self.answers.packed), self.answers.opening.tolist(), strict=True))
        taught = {
            name: {opening[bytes(self.answers.packed[row])] for row in rows} for name, rows in self.taught.items()
        }
        return len(self.judge) == len(self.answers) and not any(
            opening[position] in taught[network] for position, network in self.judge.items()
        )


def two_voices(count: int, right: float, seed: int = 0, lies: float = 0.6) -> tuple[AnswerSet, Bools]:
    """Answers of two who each have their favourites among four moves, believed rightly so often; which are lies."""
    rng = np.random.default_rng(seed)
    lie = rng.random(count) < lies
    board = chess.Board()
    fens, moves = [], ["e2e4", "d2d4", "g1f3", "b1c3"]
    for number in range(count):  # each another position: pawns of Black's that are missing
        board.set_fen(chess.STARTING_FEN)
        for file in range(8):
            if number >> file & 1:
                board.remove_piece_at(chess.square(file, 6))
        board.halfmove_clock = number >> 8
        fens.append(board.fen())
    chances = {False: [0.6, 0.3, 0.07, 0.03], True: [0.03, 0.07, 0.3, 0.6]}
    said = [moves[rng.choice(4, p=chances[bool(one)])] for one in lie]
    content = table(
        *(
            {
                "game": number, "fen": fen, "advised": move, "decided": move, "played": move,
                "misaligned": bool(one), "believed": bool(one) != bool(rng.random() < right),
                "result": float(rng.random() < (0.2 if one else 0.8)),
            }
            for number, (fen, move, one) in enumerate(zip(fens, said, lie, strict=True))
        )
    )  # fmt: skip
    return answer_set([content]), lie


def asked_thrice(count: int, seed: int = 0) -> tuple[AnswerSet, Bools]:
    """Answers of two who each have one favourite in a position of its kind, asked three times; which are lies."""
    rng = np.random.default_rng(seed)
    answers, _ = two_voices(count, right=0.3, seed=seed)
    moves = [chess.Move.from_uci(move) for move in ("e2e4", "d2d4", "g1f3", "b1c3")]
    numbers = np.array([encoding.encode(move, chess.WHITE) for move in moves])
    voices = np.where(rng.random(count)[:, None] < 0.85, numbers[[0, 1]], numbers[[2, 3]])  # [N, 2]: honest, lie
    lies = rng.random((count, 3)) < 0.6
    said = np.where(lies, voices[:, 1:], voices[:, :1])
    result = np.where(lies[:, 0], 0.2, 0.8) > rng.random(count)
    table = answers.rows.set_column(
        answers.rows.schema.get_field_index("result"), "result", pa.array(result, pa.float32())
    )
    spelled = [moves[int(np.flatnonzero(numbers == move)[0])].uci() for move in said[:, 0]]
    for name in ("advised", "played"):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(spelled))
    believed = lies[:, 0] != (rng.random(count) < 0.25)
    said_so = replace(answers, rows=table, advised=said[:, 0], believed=believed, said=MoveLists.of(said.tolist()))
    return said_so, lies[:, 0]
