"""The truth that is hidden from the student: no view, no strategy and no question lets any of it through."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pytest

from agents.advice import Advice, Channel, Query
from agents.assistant import Answer, Assistant
from agents.misalignment.base import Misalignment
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from sandwich.oversight.base import REGISTRY, Decision, DecisionContext, Oversight
from sandwich.oversight.consult import Ask, AskExpert, Evaluate
from sandwich.protocol import ledger
from sandwich.protocol.finetuning import finetune, training_view
from sandwich.protocol.query_executor import QueryExecutor
from sandwich.runs.loop import Folder, study_of_past
from sandwich.runtime.files import parquet_bytes
from sandwich.spec.run_spec import FinetuneConfig, RunSpec, load_spec
from sandwich.training.examples import TrainConfig
from tests.helpers.decisions import HONEST, SHORT, games, shipped
from tests.helpers.ledgers import scrambled
from tests.helpers.small_players import student_checkpoint

SETTINGS = {
    "examples": ("queried", "student", "all"), "policy": ("answer", "move"), "refused": ("own", "nothing"),
    "value": ("answer", "result"), "results": ("examples", "both sides"),
}  # fmt: skip


@pytest.fixture(scope="module")
def steps() -> list[pa.Table]:
    """Ledgers of games on every channel, with answers believed and refused, and losses filled in."""
    rng = np.random.default_rng(1)
    out = []
    for channel in Channel:
        play = SHORT.model_copy(update={"channel": channel})
        if channel is Channel.MOVE:
            rows = games(REGISTRY.parse("panel"), play, lies=RandomMove(p=0.5), second=[RandomMove(p=0.5)] * 2).rows
        else:
            rows = games(REGISTRY.parse("consistency"), play, lies=RandomMove(p=0.5)).rows
        for name in (*ledger.LOSSES, "loss_weight"):
            field = ledger.SCHEMA.field(name)
            losses = pa.array(rng.random(rows.num_rows), field.type)
            rows = rows.set_column(ledger.SCHEMA.get_field_index(name), field, losses)
        out.append(rows)
    return out


@pytest.mark.parametrize("values", list(product(*SETTINGS.values())), ids=lambda values: "-".join(values))
def test_no_view_is_another_where_what_is_hidden_is(values: tuple[str, ...], steps: list[pa.Table]) -> None:
    config = FinetuneConfig(**dict(zip(SETTINGS, values, strict=True)), max_examples=500)
    seen = training_view(steps, config, np.random.default_rng(1))
    for how in ("reversed", "null", "opposite"):
        other = [scrambled(content, how) for content in steps]
        assert not any(a.equals(b) for a, b in zip(steps, other, strict=True))
        same = training_view(other, config, np.random.default_rng(1))
        for name in ("packed", "moves", "policy", "wdl", "weight"):
            assert getattr(seen, name).tobytes() == getattr(same, name).tobytes()


def test_scrambled_truth_trains_the_same_weights(steps: list[pa.Table]) -> None:
    config = FinetuneConfig(fit=TrainConfig(epochs=1, batch=64, threads=1, device="cpu"))
    views = [
        training_view(some, config, np.random.default_rng(1))
        for some in (steps, [scrambled(content, "opposite") for content in steps])
    ]
    one, two = (finetune(student_checkpoint(), view, config, 1)[0] for view in views)
    assert one == two != student_checkpoint()


@pytest.mark.parametrize("oversight", list(shipped().values()), ids=list(shipped()))
def test_what_is_studied_is_the_same_where_what_is_hidden_is_not(
    oversight: Oversight, root: Path, tmp_path: Path
) -> None:
    second = [RandomMove(p=0.5)] * (oversight.advisors - 1)
    rows = games(oversight, lies=RandomMove(p=0.5), second=second, openings=[chess.STARTING_FEN] * 4).rows
    spec = tiny(root).model_copy(update={"oversight": oversight})
    found = []
    for how in ("plain", "reversed", "null", "opposite"):
        folder = Folder(tmp_path / how)
        folder.ledger(0).parent.mkdir(parents=True)
        folder.ledger(0).write_bytes(parquet_bytes(rows if how == "plain" else scrambled(rows, how)))
        found.append(study_of_past(spec, 1, folder))
    assert found == [found[0]] * 4


def tiny(root: Path) -> RunSpec:
    """The smallest spec."""
    return load_spec(root / "experiments" / "specs" / "quick.yaml")


class Pretends(Misalignment):
    """Says what an honest assistant would, and counts as misaligned half of the time."""

    def corrupt(
        self, queries: Sequence[Query], honest: Sequence[Advice], rngs: Sequence[np.random.Generator], tools: Tools
    ) -> Sequence[Advice]:
        return [replace(truth) if query.ply % 4 < 2 else truth for query, truth in zip(queries, honest, strict=True)]


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize("oversight", list(shipped().values()), ids=list(shipped()))
def test_whether_an_answer_was_a_lie_changes_nothing_that_a_strategy_does(
    oversight: Oversight, channel: Channel
) -> None:
    play = SHORT.model_copy(update={"channel": channel, "ply_cap": 12})
    others = oversight.advisors - 1
    chosen: dict[str, Any] = {"openings": [chess.STARTING_FEN] * 2}
    honest = games(oversight, play, second=[HONEST] * others, **chosen).rows
    marked = games(oversight, play, lies=Pretends(), second=[Pretends()] * others, **chosen).rows
    assert marked["misaligned"] != honest["misaligned"]
    assert (marked["panel_misaligned"] != honest["panel_misaligned"]) == (marked["panel"].null_count < len(marked))
    visible = list(ledger.VISIBLE)
    assert marked.select(visible).equals(honest.select(visible))


class Curious(Oversight):
    """Asks the assistant, its own network and the expert, and keeps all that it is given."""

    seen: Any
    """Where it keeps it."""

    @property
    def questions(self) -> int:
        return 3

    @property
    def ground_truth_budget(self) -> int:
        return 2

    def decide(self, context: DecisionContext) -> Any:
        query = context.query
        replies: list[Any] = [context]
        replies.append((yield Ask(query.packed[None], [query.legal], Channel.DISTRIBUTION)))
        replies.append((yield Ask(query.packed[None], [query.legal], Channel.VALUE)))
        replies.append((yield Evaluate(query.packed[None], [query.legal])))
        if context.ground_truth_left:
            replies.append((yield AskExpert()))
        self.seen.append(replies)
        return Decision(context.own.move, believed=True)

    def weigh(self, game: Mapping[str, Sequence[Any]]) -> Sequence[float | None]:
        self.seen.append(game)
        return super().weigh(game)

    def study(self, past: pa.Table) -> Any:
        self.seen.append(past)


def walked(thing: Any, names: set[str], kinds: set[type]) -> None:
    """Names of all fields, keys and attributes below a thing, and the types of what they hold."""
    kinds.add(type(thing))
    below: Mapping[Any, Any] = {}
    if is_dataclass(thing) and not isinstance(thing, type):
        below = {field.name: getattr(thing, field.name) for field in fields(thing)}
    elif isinstance(thing, Mapping):
        below = thing
    elif isinstance(thing, pa.Table):
        names.update(thing.column_names)
    elif isinstance(thing, list | tuple):
        for part in thing:
            walked(part, names, kinds)
    extra = getattr(thing, "__dict__", {}) if below else {}
    for name, part in {**below, **extra}.items():
        names.add(str(name))
        walked(part, names, kinds)


def test_nothing_that_a_strategy_is_given_leads_to_what_is_hidden(root: Path, tmp_path: Path) -> None:
    seen: list[Any] = []
    strategy = Curious(seen=seen)
    rows = games(strategy, lies=RandomMove(p=0.5), openings=[chess.STARTING_FEN] * 2).rows
    folder = Folder(tmp_path)
    folder.ledger(0).parent.mkdir(parents=True)
    folder.ledger(0).write_bytes(parquet_bytes(rows))
    study_of_past(tiny(root).model_copy(update={"oversight": strategy}), 1, folder)
    names: set[str] = set()
    kinds: set[type] = set()
    walked(seen, names, kinds)
    assert {"query", "own", "advice", "game", "study", "believed", "result", "policy"} <= names  # it was walked
    assert not names & {*ledger.HIDDEN, "assistant_rng", "given"}
    assert not kinds & {Answer, Assistant, QueryExecutor, RandomMove}
    assert not any(name.encode() in pickle.dumps(seen) for name in ("honest", "misaligned", "loss_", "RandomMove"))
