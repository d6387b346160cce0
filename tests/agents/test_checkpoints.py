"""Which checkpoints a record names, wherever they stand in it, and how their content is read."""

import re
from typing import Annotated, Any

import pytest
from pydantic import Field

from agents.checkpoint_files import Checkpoint, checkpoint_path, checkpoints_in, read_checkpoints
from agents.misalignment.engine_subtle import EngineSubtle
from agents.misalignment.mixture import Mixture
from agents.misalignment.other import Other
from agents.misalignment.sandbag import Sandbag
from agents.misalignment.schedule import Schedule
from agents.misalignment.steer import Steer
from agents.players.base import AnyPlayer
from agents.players.filtered import Filtered
from agents.players.mcts import Mcts
from agents.players.network import Network
from agents.players.stockfish import StockfishPlayer
from agents.tools import Tools
from engines.checkpoints import FILTER, CheckpointError
from engines.inference import Evaluator
from engines.settings import Frozen
from sandwich.spec.run_spec import load_spec
from tests.helpers.checkpoint_records import Spec
from tests.helpers.fakes import Hashed


@pytest.mark.parametrize(
    ("record", "names"),
    [
        (Network(checkpoint="a"), {"a"}),
        (Mcts(network="a"), {"a"}),
        (StockfishPlayer(), set()),
        (Steer(judge="a"), {"a"}),
        (Other(player=Mcts(network="a")), {"a"}),
        (Sandbag(), {"weak"}),
        (Schedule(inner=Mixture(parts=(EngineSubtle(judge="a"), Other(player=Network(checkpoint="b"))))), {"a", "b"}),
        (Spec(), {"start", "a"}),
        (Spec(players=(Mcts(network="b"), StockfishPlayer(), Network(checkpoint="c"))), {"start", "a", "b", "c"}),
        (Spec(misalignment=Schedule(inner=Steer(judge="b"))), {"start", "a", "b"}),
        ([Network(checkpoint="a"), (Mcts(network="b"),)], {"a", "b"}),
        ({"checkpoint": "a"}, set()),
    ],
)
def test_every_checkpoint_that_a_record_names_is_found(record: object, names: set[str]) -> None:
    assert checkpoints_in(record) == names


class Nested(Frozen):
    """Checkpoints, and records that name them, in every place where one may stand."""

    maybe: Checkpoint | None = None
    marked: Annotated[Checkpoint | None, Field(description="optional and described")] = None
    some: Annotated[tuple[Checkpoint, ...], Field(max_length=3)] = ()
    pair: tuple[str, Checkpoint] | None = None
    listed: list[Checkpoint | None] | None = None
    chosen: frozenset[Checkpoint] = frozenset()
    named: dict[str, Checkpoint] | None = None
    keyed: dict[Checkpoint, str] | None = None
    deep: dict[str, list[tuple[Checkpoint, int]]] | None = None
    player: AnyPlayer | None = None
    players: dict[str, list[AnyPlayer]] | None = None
    either: Checkpoint | int | AnyPlayer = 0
    anything: Any = None
    packed: tuple[str, ...] = ("no", "checkpoint")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, set()),
        ({"maybe": "a"}, {"a"}),
        ({"marked": "a"}, {"a"}),
        ({"some": ["a", "b"]}, {"a", "b"}),
        ({"pair": ["no", "a"]}, {"a"}),
        ({"listed": ["a", None, "b"]}, {"a", "b"}),
        ({"chosen": ["a", "b"]}, {"a", "b"}),
        ({"named": {"no": "a"}}, {"a"}),
        ({"keyed": {"a": "no"}}, {"a"}),
        ({"deep": {"no": [["a", 1], ["b", 2]]}}, {"a", "b"}),
        ({"player": {"type": "mcts", "network": "a"}}, {"a"}),
        ({"players": {"no": ["a", {"type": "mcts", "network": "b"}, "stockfish"]}}, {"a", "b"}),
        ({"either": "a"}, {"a"}),
        ({"either": Mcts(network="a")}, {"a"}),
        ({"anything": ["no", {"no": Network(checkpoint="a")}]}, {"a"}),
    ],
)
def test_a_checkpoint_is_found_wherever_it_stands(settings: dict[str, Any], names: set[str]) -> None:
    record = Nested.model_validate(settings)
    assert checkpoints_in(record) == names
    assert checkpoints_in({"no": (record,)}) == names


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            Network(checkpoint="filter"),
            "unknown player 'filter'; did you mean filtered? known: expert, weak, adversary, ",
        ),
        (
            Network(checkpoint="weka"),
            "unknown player 'weka'; did you mean weak? known: expert, weak, adversary, the pa",
        ),
        (
            Network(checkpoint="asistant"),
            "did you mean assistant? known: expert, weak, adversary, the path of a checkp",
        ),
        (Filtered(filter="weak"), "unknown filter 'weak'; known: filter, or the path of a checkpoint"),
        (Network(checkpoint="no/such.safetensors"), "no such file: no/such.safetensors"),
        (
            Filtered(filter=str(checkpoint_path("weak"))),
            "expected format 'sandwich-filter/1', got 'sandwich-network/1'",
        ),
    ],
)
def test_a_checkpoint_that_is_not_what_its_field_wants_is_told_in_one_line(record: object, said: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(said)):
        read_checkpoints(record)


def test_the_checkpoints_of_a_record_are_read_by_name() -> None:
    files = read_checkpoints([Filtered(), {"no": (Network(checkpoint="weak"),)}])
    assert files == {
        "filter": checkpoint_path("filter", FILTER).read_bytes(),
        "weak": checkpoint_path("weak").read_bytes(),
    }


def test_a_checkpoint_handed_in_is_not_read_from_a_file() -> None:
    opened: list[bytes] = []

    def make(content: bytes) -> Evaluator:
        opened.append(content)
        return Hashed("any")

    with Tools({"no such file": b"content"}, make) as tools:
        tools.player(Mcts(network="no such file"))
        tools.player(Network(checkpoint="no such file"))
    assert opened == [b"content"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("student=/nope.safetensors", "student: no such file: /nope.safetensors"),
        ("expert=/nope.safetensors", "expert: no such file: /nope.safetensors"),
        ("expert=mcts:network=/nope.safetensors", "expert.network: no such file: /nope.safetensors"),
        (
            "student=weka",
            "student: unknown player 'weka'; did you mean weak? known: expert, weak, adversary, or the path",
        ),
        ("assistant.base=weka", "assistant.base: unknown player 'weka'; did you mean weak? known: "),
    ],
)
def test_a_checkpoint_that_is_missing_is_told_with_its_key(override: str, said: str) -> None:
    with pytest.raises(CheckpointError) as error:
        read_checkpoints(load_spec("quick", override))
    assert str(error.value).startswith(said)
