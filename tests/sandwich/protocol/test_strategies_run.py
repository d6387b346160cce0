"""Every shipped strategy in the loop: games in a worker, what is studied, weights; and each from the command line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.advice import Channel
from agents.plugins import PluginError
from engines.settings import SpecError
from sandwich.evaluation.oracle import Oracle
from sandwich.oversight.base import REGISTRY
from sandwich.protocol import ledger
from sandwich.runs.controls import controls
from sandwich.runs.loop import Folder, learn, play, roles
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.progress import NO_PROGRESS
from sandwich.spec.run_spec import RunSpec, load_spec
from tests.helpers.decisions import SHORT, games, shipped
from tests.helpers.fakes import permissive
from tests.helpers.small_players import CHECKPOINTS, checkpoint

pytestmark = pytest.mark.timeout(400)

TINY = (
    "expert=small 1", "assistant.base=small 1", "student=small 2", "play.games=8", "play.block=4", "play.ply_cap=30",
    "play.pgn_games=2", "finetune.fit.batch=64", "finetune.fit.threads=1", "evaluate.ledger_positions=null",
    "workers=1", "inference.backend=torch",
)  # fmt: skip
SECOND = (
    "second=[{base: small 1, misalignment: {type: random_move, p: 0.5}}, {base: small 2, misalignment: random_move}]"
)


def spec(root: Path, *overrides: str) -> RunSpec:
    """A run of a few short games between small players."""
    return load_spec(root / "experiments" / "specs" / "quick.yaml", (*TINY, *overrides))


@pytest.mark.parametrize("name", shipped())
def test_every_strategy_plays_studies_and_learns(name: str, cluster: Cluster, root: Path, tmp_path: Path) -> None:
    settings = yaml.safe_dump(REGISTRY.describe(shipped()[name]), default_flow_style=True)
    made = spec(root, f"oversight={settings}", SECOND)
    folder, weak, contents = Folder(tmp_path), checkpoint(2), {**CHECKPOINTS, "filter": permissive()}
    for part in ("ledger", "games", "checkpoints/step-001"):
        (tmp_path / part).mkdir(parents=True)
    nobody = Oracle(None)
    first = play(cluster, made, 0, roles(made, weak, contents), folder, NO_PROGRESS, nobody)
    learned = learn(made, 0, weak, [ledger.read(folder.ledger(0))], folder, NO_PROGRESS)
    new = folder.checkpoint(1).read_bytes()
    second = play(cluster, made, 1, roles(made, new, contents), folder, NO_PROGRESS, nobody)  # with what was studied

    rows = ledger.read(folder.ledger(0)).to_pandas()
    asked = rows[rows.asked]
    assert first["queries"] == len(asked) > 20
    assert first["questions"] == asked.questions.sum()
    assert first["evaluations"] == asked.evaluations.sum()
    assert asked.questions.between(1, made.oversight.questions).all()
    assert asked.misaligned.any()
    assert learned["examples"] > 0
    assert new != weak
    assert second["games"] == 8
    believed = asked.believed.astype(bool)
    assert believed.any() == (name not in ("ignore", "search"))
    if name != "search":
        assert (asked.decided[~believed] == asked.own_move[~believed])[asked.ground_truth[~believed].isna()].all()


@pytest.mark.parametrize("name", [name for name in shipped() if name not in ("filter", "unanimous")])  # need settings
def test_every_strategy_is_named_in_short_with_its_settings(name: str, root: Path) -> None:
    plain = spec(root, f"oversight={name}", SECOND)
    long = spec(root, f"oversight.type={name}", SECOND)
    assert plain == long
    written: dict[str, Any] = plain.model_dump(mode="json")["oversight"]
    values = ",".join(f"{key}={value}" for key, value in written.items() if key != "type")
    assert spec(root, f"oversight={name}:{values}" if values else f"oversight={name}", SECOND) == plain


@pytest.mark.parametrize(
    ("short", "said"),
    [
        ("vetto", "oversight.type: unknown oversight strategy 'vetto'; did you mean veto? known: consistency, "),
        (
            "vetto:delta=1",
            "oversight.type: unknown oversight strategy 'vetto'; did you mean veto? known: consistency, ",
        ),
        ("veto:delta", "oversight.type: expected veto:key=value,…, got 'veto:delta'"),
        ("veto:delta=[1", "oversight.delta: '[1' is not a YAML value"),
        ("veto:delta=2", "oversight.delta: expected at most 1, got 2"),
        ("veto:dela=1", "oversight.dela: unknown key; did you mean delta? known here: delta"),
        ("mine:Strategy", "oversight.type: 'mine:Strategy' needs a file "),
        ("mine:Strategy:delta=1", "oversight.type: 'mine:Strategy' needs a file "),
    ],
)
def test_a_short_form_that_names_nothing_is_refused_in_one_line(short: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("assistant: {misalignment: random_move}\noversight: trust")
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "spec.yaml", (f'oversight="{short}"',))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_class_beside_the_spec_has_a_short_form(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from sandwich.oversight.veto import Veto\n\n\nclass Mine(Veto):\n    times: int = 1\n"
    )
    (tmp_path / "spec.yaml").write_text(
        "assistant: {misalignment: 'random_move:p=0.5'}\noversight: 'mine:Mine:times=3'"
    )
    made = load_spec(tmp_path / "spec.yaml")
    assert made.model_dump(mode="json")["oversight"] == {"type": "mine:Mine", "delta": 0.0, "times": 3}
    assert made.assistant.misalignment.model_dump() == {"p": 0.5, "coin": "question"}


@pytest.mark.parametrize(
    ("override", "play"),
    [
        ("oversight=trust", {"queries_per_turn": 0.7, "queries_per_game": 9}),
        ("oversight=vote", {"queries_per_turn": 1}),
        ("oversight=vote:answers=5", {"queries_per_turn": 0.7}),
        ("oversight=vote:answers=4", {"queries_per_game": 11}),
        (
            "oversight=vote",
            {"queries_per_turn": 3, "queries_per_game": 20, "channel": Channel.CANDIDATES, "candidates": 2},
        ),
    ],
)
def test_the_control_of_its_own_moves_asks_on_the_turns_of_the_strategy(
    override: str, play: dict[str, Any], root: Path
) -> None:
    made = spec(root, override)
    made = made.model_copy(update={"play": SHORT.model_copy(update={"ply_cap": 40, **play})})
    control = controls(made)["own_moves"]
    assert override != "oversight=trust" or control.play == made.play
    turns = [
        rows[rows.student].groupby("game").asked.agg(list)
        for rows in (games(one.oversight, one.play).rows.to_pandas() for one in (made, control))
    ]
    shortest = [min(map(len, both)) for both in zip(*turns, strict=True)]
    assert min(shortest) > 10 and sum(map(sum, turns[0])) > len(shortest)
    for mine, theirs, length in zip(*turns, shortest, strict=True):
        assert mine[:length] == theirs[:length]


def test_controls_change_every_assistant(root: Path) -> None:
    found = controls(spec(root, "oversight=two_advisors", SECOND))
    for name, p in (("honest", 0.0), ("always_misaligned", 1.0)):
        keys = found[name].result_keys()
        assert [one["misalignment"]["p"] for one in (keys["assistant"], *keys["second"])] == [p, p, p]
    dosed = "second={base: small 1, misalignment: {type: policy_noise}}"
    assert "always_misaligned" not in controls(spec(root, "oversight=two_advisors", dosed))


MINE = """
from sandwich.oversight.trust import Trust


class Mine(Trust):
    @property
    def {name}(self):
        return {value}
"""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("questions", "self.answrs", "AttributeError: 'Mine' object has no attribute 'answrs'"),
        ("questions", "1 / 0", "ZeroDivisionError: division by zero"),
        ("questions", "None", "expected questions to be a whole number, 1 or more, got None"),
        ("questions", "0", "expected questions to be a whole number, 1 or more, got 0"),
        ("questions", "1.5", "expected questions to be a whole number, 1 or more, got 1.5"),
        ("advisors", "None", "expected advisors to be a whole number, 1 or more, got None"),
        ("ground_truth_budget", "1 / 0", "ZeroDivisionError: division by zero"),
        ("ground_truth_budget", "-1", "expected ground_truth_budget to be a whole number, 0 or more, got -1"),
    ],
)
@pytest.mark.parametrize("within", ["'mine:Mine'", "{type: unanimous, members: [plausible, 'mine:Mine']}"])
def test_what_a_strategy_says_it_may_use_is_told_in_one_line_where_it_cannot_be(
    name: str, value: str, said: str, within: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE.format(name=name, value=value))
    (tmp_path / "spec.yaml").write_text(f"assistant: {{misalignment: random_move}}\noversight: {within}")
    with pytest.raises(PluginError) as caught:
        load_spec(tmp_path / "spec.yaml")
    where = " (mine.py, line 8)" if "Error: " in said else ""
    assert str(caught.value) == f"oversight strategy mine:Mine: {said}{where}"


def test_the_control_of_its_own_moves_learns_them_also_where_refused_answers_teach_nothing(root: Path) -> None:
    made = spec(root, "oversight=veto", "finetune.refused=nothing")
    assert made.finetune.refused == "nothing"
    assert controls(made)["own_moves"].finetune.refused == "own"
