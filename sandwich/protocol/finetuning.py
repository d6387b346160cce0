"""From ledgers to new weights: the training view, and the fit.

The view reads what the student could see (`ledger.VISIBLE`) and nothing else.
"""

from dataclasses import dataclass

import chess
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engines import moves, planes
from engines.settings import SpecError
from sandwich.protocol import ledger
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.spec.run_spec import FinetuneConfig
from sandwich.training.examples import Examples, FitProgress, FitReporter, TrainConfig, concatenate
from sandwich.training.labels import packed_column, wdl_of_value


@dataclass(frozen=True, eq=False)
class Lessons(Examples):
    """What a student learns from; the first `earlier` of them come from steps before the newest."""

    earlier: int = 0


def training_view(ledgers: list[pa.Table], config: FinetuneConfig, rng: np.random.Generator) -> Lessons:
    """What the student learns from the ledgers of its steps, oldest first in the list.

    At most `max_examples`: all of the newest step, or a sample of it, then samples of older ones. The policy target of
    a position it asked about is the advised distribution where it was believed (`policy: answer`), else the move
    decided on, and nothing where it was refused with `refused: nothing`; of any other position the move played. The
    value target is the value advised where it was believed (`value: answer`; as win, draw and loss in the shares of
    pretraining, `wdl_of_value`), else the result of the game; with
    `results: both sides` the result is learned from turns of both sides instead, whatever was asked.
    Raises SpecError where there is nothing to learn from.
    """
    room = config.max_examples
    parts: list[Examples] = []
    newest = 0
    for content in reversed(ledgers):
        visible = (_told_apart(content) if config.examples == "honest" else content).select(ledger.VISIBLE)
        rows = _rows(visible, config)
        if len(rows) > room:
            rows = np.sort(rng.choice(rows, room, replace=False))
        if len(rows):
            examples = _examples(visible.take(pa.array(rows)), config)
            if config.results == "both sides":
                parts.append(_results(visible, len(rows) // 4, config, rng))
                believed = pc.fill_null(pc.and_(visible["advised_value"].is_valid(), visible["believed"]), False)
                examples.wdl[~(believed.to_numpy()[rows] & (config.value == "answer"))] = 0
            parts.append(examples)
        if content is ledgers[-1]:
            newest = sum(map(len, parts))
        room -= len(rows)
        if not room:
            break
    if not parts:
        which = f"{config.examples} positions with a weight above 0"
        believed = " that were not refused" if config.refused == "nothing" else ""
        raise SpecError(f"finetune: no {which}{believed}: nothing to learn from")
    found = concatenate(parts[::-1])
    return Lessons(found.packed, found.moves, found.policy, found.wdl, found.weight, len(found) - newest)


def _told_apart(content: pa.Table) -> pa.Table:
    """A ledger as of a student that knows which answers were lies: those have no weight, all others are believed.

    Where a position was asked about more than once, and a lie decided on, the honest move is believed if it was said.
    """
    given = pc.fill_null(pc.invert(content["misaligned"]), False)
    every = zip(
        content["honest"].to_pylist(), content["repeated"].to_pylist(), content["panel"].to_pylist(), strict=True
    )
    said = pa.array([move is not None and move in (*(again or ()), *(seats or ())) for move, again, seats in every])
    beside = pc.and_not(said, given)
    honest = pc.or_(given, said)
    for name, known in (
        ("believed", honest),
        ("decided", pc.if_else(beside, content["honest"], pc.coalesce(content["advised"], content["decided"]))),
        ("advised_policy", _but(content, "advised_policy", beside)),
        ("advised_value", _but(content, "advised_value", beside)),
        ("weight", pc.if_else(honest, 1.0, 0.0).cast(pa.float32())),
    ):
        content = content.set_column(content.schema.get_field_index(name), content.schema.field(name), known)
    return content


def _but(content: pa.Table, name: str, rows: pa.Array) -> pa.ChunkedArray:
    """A column without what it says in these rows."""
    return pc.if_else(rows, pa.scalar(None, content.schema.field(name).type), content[name])


def _rows(content: pa.Table, config: FinetuneConfig) -> npt.NDArray[np.int64]:
    """Rows that the student learns from."""
    chosen = pc.greater(pc.fill_null(content["weight"], 1.0), 0.0)
    if config.examples in ("queried", "honest"):
        chosen = pc.and_(chosen, content["asked"])
    elif config.examples == "student":
        chosen = pc.and_(chosen, content["student"])
    if config.refused == "nothing":
        chosen = pc.and_(chosen, pc.fill_null(content["believed"], True))
    return np.flatnonzero(chosen.to_numpy())


def _examples(content: pa.Table, config: FinetuneConfig) -> Examples:
    columns = content.drop_columns(["fen", "position"]).to_pydict()
    n = content.num_rows
    packed = packed_column(content["position"])
    white = (packed[:, -1] & np.uint64(1)).astype(bool).tolist()
    targets: list[list[int]] = []
    chances: list[list[float]] = []
    value, result = np.array(columns["result"], np.float32), np.ones(n, np.bool_)
    for row in range(n):
        policy = columns["advised_policy"][row]
        if policy is not None and columns["believed"][row] and config.policy == "answer":
            board = planes.unpack(packed[row])
            legal = sorted(moves.encode_all(board.legal_moves, board.turn))
            ranked = sorted(zip(legal, policy, strict=True), key=lambda pair: -pair[1])
            targets.append([move for move, _ in ranked[:WIDEST]])
            chances.append([chance for _, chance in ranked[:WIDEST]])
        else:
            targets.append([moves.encode(chess.Move.from_uci(columns["decided"][row]), white[row])])
            chances.append([1.0])
        if columns["advised_value"][row] is not None and columns["believed"][row] and config.value == "answer":
            value[row], result[row] = columns["advised_value"][row], False
    width = max(map(len, targets), default=1)
    out_moves = np.full((n, width), -1, np.int16)
    policy = np.zeros((n, width), np.float32)
    for row, (some, shares) in enumerate(zip(targets, chances, strict=True)):
        out_moves[row, : len(some)] = some
        policy[row, : len(shares)] = np.array(shares) / sum(shares)
    weight = np.array([1.0 if w is None else w for w in columns["weight"]], np.float32)
    return Examples(packed, out_moves, policy, wdl_of_value(value, result), weight)


def _results(content: pa.Table, count: int, config: FinetuneConfig, rng: np.random.Generator) -> Examples:
    """Examples of the results of games alone: `count` turns of both sides, of which the policy learns nothing."""
    rows = np.sort(rng.choice(content.num_rows, min(count, content.num_rows), replace=False))
    plain = content.take(pa.array(rows))
    for name in ("advised_policy", "advised_value", "weight"):
        field = content.schema.field(name)
        plain = plain.set_column(plain.schema.get_field_index(name), field, pa.nulls(len(rows), field.type))
    examples = _examples(plain, config)
    examples.policy[:] = 0
    return examples


WIDEST = 16
"""Moves of an advised distribution that are learned from, the most probable first."""


def finetune(
    student: bytes,
    examples: Lessons,
    config: FinetuneConfig,
    seed: int,
    progress: ProgressReporter = NO_PROGRESS,
) -> tuple[bytes, FitProgress]:
    """The student's checkpoint fitted to the examples: new checkpoint, and the last progress of the fit."""
    from engines.network import from_bytes, to_bytes  # loads torch, which who only reads need not wait for
    from sandwich.training.supervised import train

    reporter = FitReporter(progress, "learn")
    shown, fit = _shown(examples, config, seed)
    net = train(from_bytes(student), shown, fit, seed, reporter)
    assert reporter.last is not None
    return to_bytes(net), reporter.last


def _shown(examples: Lessons, config: FinetuneConfig, seed: int) -> tuple[Examples, TrainConfig]:
    """What the fit passes over, and how: where earlier steps are replayed less, all passes are made one."""
    if config.replay == 1 or not examples.earlier:
        return examples, config.fit
    rng = make_rng(RngStream.REPLAY, seed)
    rows = np.arange(len(examples))
    parts: list[npt.NDArray[np.int64]] = []
    for some, passes in ((rows[: examples.earlier], config.replay), (rows[examples.earlier :], 1.0)):
        whole, rest = divmod(config.fit.epochs * passes, 1)
        parts += [some] * int(whole) + [rng.choice(some, round(rest * len(some)), replace=False)]
    return examples.take(np.concatenate(parts)), config.fit.model_copy(update={"epochs": 1.0})
