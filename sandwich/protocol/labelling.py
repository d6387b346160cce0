"""Between playing and learning: all answers so far, what a label model makes of them, and ledgers as that has them."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import chess
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agents.advice import Channel, Query
from engines import moves, planes, rules
from engines.inference import Evaluation
from engines.ragged import MoveLists, Policies
from sandwich.label_models.base import (
    REGISTRY,
    AnswerSet,
    Bools,
    Fit,
    Floats,
    Integers,
    LabelModel,
    Labels,
    Workshop,
    check_labels,
)
from sandwich.oversight.base import Oversight, OwnView
from sandwich.protocol import ledger
from sandwich.protocol.pending import PendingQuery
from sandwich.protocol.query_executor import BATCH, QueryExecutor
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig, evaluator, tools
from sandwich.runtime.progress import ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng, make_seed
from sandwich.training.examples import TrainConfig
from sandwich.training.labels import packed_column

SCHEMA = pa.schema(
    [
        pa.field("step", pa.uint16(), nullable=False),
        pa.field("game", pa.uint32(), nullable=False),
        pa.field("ply", pa.uint16(), nullable=False),
        pa.field("honest", pa.float32(), nullable=False),
        pa.field("believed", pa.bool_(), nullable=False),
        pa.field("move", pa.string(), nullable=False),
        pa.field("weight", pa.float32(), nullable=False),
    ]
)
"""Of the file that a step's labels are kept in (docs/reference/run-folder.md)."""


def answer_set(ledgers: Sequence[pa.Table]) -> AnswerSet:
    """The answers of the steps so far, oldest ledger first; of the ledgers only what the student may see is read."""
    parts, openings, games, before = [], [], [], 0
    for step, content in enumerate(ledgers):
        seen = content.select(ledger.VISIBLE)
        game = seen["game"].to_numpy().astype(np.int64)
        first = seen.filter(pc.equal(seen["ply"], 0))
        begun = dict(zip(first["game"].to_pylist(), map(_hashed, first["fen"].to_pylist()), strict=True))
        rows = np.flatnonzero(advising(seen))
        parts.append(seen.take(pa.array(rows)).append_column("step", pa.array(np.full(len(rows), step, np.uint16))))
        openings.append(np.array([begun[one] for one in game[rows].tolist()], np.int64))
        games.append(game[rows] + before)
        before += int(game.max(initial=-1)) + 1
    table = pa.concat_tables(parts).combine_chunks()
    packed = packed_column(table["position"])
    white = (packed[:, -1] & np.uint64(1)).astype(bool).tolist()
    legal, _ = rules.legal_moves(packed)
    return AnswerSet(
        table,
        packed,
        legal,
        _numbers(table["advised"], white),
        _numbers(table["own_move"], white),
        table["believed"].to_numpy(),
        np.concatenate(games),
        np.concatenate(openings),
        _said(table, white),
        _by_seat(table, white),
    )


def advising(content: pa.Table) -> Bools:
    """Which rows of a ledger are answers that advise a move."""
    return np.asarray(pc.and_(content["asked"], content["advised"].is_valid()).to_numpy())


def _hashed(fen: str) -> int:
    return int.from_bytes(sha256(fen.encode()).digest()[:4], "little")


def _said(table: pa.Table, white: Sequence[bool]) -> MoveLists:
    """Numbers of all moves said of each position: of the first seat each time that it was asked, then of the others.

    The one advised is among them in any case.
    """
    every = zip(*(table[name].to_pylist() for name in ("repeated", "panel", "advised")), white, strict=True)
    out = []
    for again, panel, advised, side in every:
        seats = panel or []
        said = [move for move in (*(again or seats[:1]), *seats[1:]) if move is not None]
        said = said if advised in said else [*said, advised]
        out.append([moves.encode(chess.Move.from_uci(move), side) for move in said])
    return MoveLists.of(out)


def _by_seat(table: pa.Table, white: Sequence[bool]) -> Integers:
    """Number of the move that each seat named first, `[N, K]`; where only the first was asked, the one advised."""
    pairs = zip(table["panel"].to_pylist(), table["advised"].to_pylist(), strict=True)
    panels = [panel or [advised] for panel, advised in pairs]
    out = np.full((len(panels), max(map(len, panels), default=1)), -1, np.int64)
    for row, (panel, side) in enumerate(zip(panels, white, strict=True)):
        for seat, move in enumerate(panel):
            if move is not None:
                out[row, seat] = moves.encode(chess.Move.from_uci(move), side)
    return out


def _numbers(column: pa.ChunkedArray, white: Sequence[bool]) -> Integers:
    """Numbers of moves in UCI notation, `[N]`."""
    spelled = zip(column.to_pylist(), white, strict=True)
    return np.array([moves.encode(chess.Move.from_uci(move), side) for move, side in spelled], np.int64)


@dataclass(eq=False)
class Bench(Workshop):
    """What a label model works with in a run, and counts of what it did.

    seed, step: everything random follows from them.
    checkpoints: contents of those that the spec names, which a strategy may judge by.
    """

    student: bytes
    config: TrainConfig
    memory: MutableMapping[str, bytes]
    seed: int
    step: int
    inference: InferenceConfig
    cluster: Cluster
    progress: ProgressReporter
    checkpoints: Mapping[str, bytes] = field(default_factory=dict)
    evaluations: int = 0
    """Positions that networks evaluated."""
    fits: int = 0
    passed: float = 0
    """Examples passed over in all fits."""

    def rng(self, *key: int) -> np.random.Generator:
        return make_rng(RngStream.LABELS, self.seed, self.step, *key)

    def fitted(self, fits: Sequence[Fit]) -> list[bytes]:
        self.fits += len(fits)
        self.passed += sum(fit.config.epochs * len(fit.examples) for fit in fits)
        self.progress.begin("label", len(fits))
        return self.cluster.map(fit_one, (self.seed, self.step), fits, lambda _: self.progress.advance())

    def policies(self, checkpoint: bytes, answers: AnswerSet, rows: Integers) -> Policies:
        seen = self._looked(checkpoint, answers.packed[rows], answers.legal.take(rows))
        return Policies.joined([Policies.of(evaluation.policy) for evaluation in seen])

    def verdicts(self, checkpoint: bytes, answers: AnswerSet, rows: Integers) -> Floats:
        self.evaluations += len(rows)
        lots = [rows[first : first + LOT] for first in range(0, len(rows), LOT)]
        jobs = [(answers.packed[lot], answers.advised[lot]) for lot in lots]
        return np.concatenate([np.zeros(0), *self.cluster.map(logits, (checkpoint, self.inference), jobs)])

    def decisions(self, oversight: Oversight, answers: AnswerSet) -> tuple[Bools, Floats]:
        believed, confidence = np.zeros(len(answers), np.bool_), np.zeros(len(answers))
        network = evaluator(self.student, self.inference)
        with tools(self.checkpoints, self.inference) as opened:
            executor = QueryExecutor(network, [], oversight, None, opened.facing(network))
            for first in range(0, len(answers), BATCH):
                rows = np.arange(first, min(first + BATCH, len(answers)))
                pending = self._pending(answers, rows)
                executor.decide_on(pending)
                believed[rows] = [one.decision.believed for one in pending]
                said = [one.decision.confidence for one in pending]
                confidence[rows] = [b if c is None else c for b, c in zip(believed[rows], said, strict=True)]
                self.evaluations += sum(one.evaluations for one in pending)
        return believed, confidence

    def _pending(self, answers: AnswerSet, rows: Integers) -> list[PendingQuery]:
        """The turns of these rows again, with the answers as they were and the views of the student of now."""
        legal = answers.legal.take(rows)
        (seen,) = self._looked(self.student, answers.packed[rows], legal)
        out = []
        for place, row in enumerate(rows.tolist()):
            ply = answers.rows["ply"][row].as_py()
            query = Query(answers.packed[row], legal[place], Channel.MOVE, 0, ply)
            own = OwnView(seen.best(place), seen.policy[place], float(seen.value[place]))
            out.append(PendingQuery.heard(query, own, int(answers.advised[row]), self.rng(1, row)))
        return out

    def _looked(self, checkpoint: bytes, packed: planes.Packed, legal: MoveLists) -> list[Evaluation]:
        """What a network thinks of positions `[K, 10]`, so many at a time."""
        self.evaluations += len(packed)
        if len(packed) <= BATCH:
            return look((checkpoint, self.inference), (packed, legal))
        every = [np.arange(first, min(first + LOT, len(packed))) for first in range(0, len(packed), LOT)]
        jobs = [(packed[rows], legal.take(rows)) for rows in every]
        return [seen for lot in self.cluster.map(look, (checkpoint, self.inference), jobs) for seen in lot]


LOT = 8 * BATCH
"""Positions that a worker looks at in one job."""


def look(shared: tuple[bytes, InferenceConfig], positions: tuple[planes.Packed, MoveLists]) -> list[Evaluation]:
    """What a network thinks of positions, a batch at a time."""
    network, (packed, legal) = evaluator(*shared), positions
    every = range(0, len(packed), BATCH)
    chosen = [np.arange(first, min(first + BATCH, len(packed))) for first in every]
    return [network(packed[rows], legal.take(rows)) for rows in chosen]


def logits(shared: tuple[bytes, InferenceConfig], moves: tuple[planes.Packed, Integers]) -> Floats:
    """What a network says of a move in each position before it is made a probability, `[K]`."""
    network, (packed, chosen) = evaluator(*shared), moves
    lots = [slice(first, first + BATCH) for first in range(0, len(packed), BATCH)]
    return np.concatenate([network.logits(packed[lot])[0][np.arange(len(chosen[lot])), chosen[lot]] for lot in lots])


def fit_one(shared: tuple[int, int], fit: Fit) -> bytes:
    """A network fitted by one thread; shared: the run's seed and step."""
    from engines.network import from_bytes, to_bytes  # loads torch, which who only reads need not wait for
    from sandwich.training.supervised import train

    seed = make_seed(RngStream.LABEL_FIT, *shared, *fit.key)
    return to_bytes(train(from_bytes(fit.start), fit.examples, fit.config.model_copy(update={"threads": 1}), seed))


def labelled(model: LabelModel, answers: AnswerSet, workshop: Workshop) -> Labels:
    """What a label model makes of the answers.

    Raises PluginError, naming it, for one that fails or says what can't be.
    """
    with REGISTRY.attribute_errors(model):
        labels = model.label(answers, workshop)
        check_labels(labels, answers)
    return labels


def label_table(answers: AnswerSet, labels: Labels) -> pa.Table:
    """Labels as they are kept."""
    columns = [answers.rows[name] for name in ("step", "game", "ply")]
    chosen = answers.advised if labels.move is None else labels.move
    move = pa.array(moves.SPELLED).take(pa.array(moves.spellings(chosen, answers.packed)))
    honest, weight = (pa.array(column, pa.float32()) for column in (labels.honest, labels.weight))
    return pa.table([*columns, honest, pa.array(labels.believed), move, weight], schema=SCHEMA)


def as_labelled(ledgers: Sequence[pa.Table], table: pa.Table) -> list[pa.Table]:
    """Ledgers of steps, oldest first, with what the labels say of each answer in place of what was decided in play."""
    out = []
    for step, content in enumerate(ledgers):
        new = table.filter(pc.equal(table["step"], step))
        asked = advising(content)
        rows = np.flatnonzero(asked)
        if len(rows) != new.num_rows:
            raise ValueError(f"labels of {new.num_rows} answers for the {len(rows)} of step {step}")
        taken, weight = np.zeros(content.num_rows, np.bool_), np.ones(content.num_rows, np.float32)
        taken[rows], weight[rows] = new["believed"].to_numpy(), new["weight"].to_numpy()
        mask, move = pa.array(asked), np.full(content.num_rows, None, object)
        move[rows] = new["move"].to_numpy(zero_copy_only=False)
        chosen = pa.array(move, pa.string())
        learned = pc.if_else(pa.array(taken), chosen, content["own_move"])
        other = pc.fill_null(pc.not_equal(chosen, content["advised"]), False)  # of which nothing else is known
        for name, column in (
            ("advised_policy", pc.if_else(other, pa.scalar(None, pa.list_(pa.float32())), content["advised_policy"])),
            ("advised_value", pc.if_else(other, pa.scalar(None, pa.float32()), content["advised_value"])),
            ("believed", pc.if_else(mask, pa.array(taken), content["believed"])),
            ("weight", pc.if_else(mask, pa.array(weight), content["weight"])),
            ("decided", pc.if_else(mask, learned, content["decided"])),
        ):
            content = content.set_column(content.schema.get_field_index(name), content.schema.field(name), column)
        out.append(content)
    return out
