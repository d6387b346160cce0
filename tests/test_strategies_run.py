"""Every shipped strategy in the loop: games in a worker, what is studied, weights; and each from the command line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from consulted import shipped
from fakes import permissive
from small import CHECKPOINTS, checkpoint

from engines.settings import SpecError
from sandwich import ledger
from sandwich.cluster import Cluster
from sandwich.config import RunSpec, load_spec
from sandwich.controls import controls
from sandwich.loop import Folder, learn, play, roles
from sandwich.oversight.base import REGISTRY
from sandwich.watcher import Silent, Watcher

pytestmark = pytest.mark.timeout(400)

TINY = (
    "expert=small 1", "assistant.player=small 1", "weak=small 2", "play.games=8", "play.block=4", "play.ply_cap=30",
    "play.pgn_games=2", "finetune.fit.batch=64", "finetune.fit.threads=1", "evaluate.ledger_positions=null",
    "workers=1", "inference.backend=torch",
)  # fmt: skip
SECOND = "second={player: small 1, misalignment: {type: random_move, p: 0.5}}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One worker for all."""
    with Cluster(1) as one:
        yield one


def spec(root: Path, *overrides: str) -> RunSpec:
    """A run of a few short games between small players."""
    return load_spec(root / "experiments" / "specs" / "quick.yaml", (*TINY, *overrides))


@pytest.mark.parametrize("name", shipped())
def test_every_strategy_plays_studies_and_learns(name: str, cluster: Cluster, root: Path, tmp_path: Path) -> None:
    settings = yaml.safe_dump(REGISTRY.describe(shipped()[name]), default_flow_style=True)
    made = spec(root, f"oversight={settings}", SECOND)
    folder, weak, contents = Folder(tmp_path), checkpoint(2), {**CHECKPOINTS, "filter": permissive()}
    watch: Watcher = Silent()
    for part in ("ledger", "games", "checkpoints/step-001"):
        (tmp_path / part).mkdir(parents=True)
    first = play(cluster, made, 0, roles(made, weak, contents), folder, watch)
    learned = learn(made, 0, weak, folder, watch)
    new = folder.checkpoint(1).read_bytes()
    second = play(cluster, made, 1, roles(made, new, contents), folder, watch)  # with what was studied

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
        assert (asked.decided[~believed] == asked.own_move[~believed])[asked.audited[~believed].isna()].all()


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
        ("vetto", "oversight.type: unknown oversight strategy 'vetto'; known: audit, "),
        ("vetto:delta=1", "oversight.type: unknown oversight strategy 'vetto'; known: audit, "),
        ("veto:delta", "oversight.type: expected veto:key=value,…, got 'veto:delta'"),
        ("veto:delta=[1", "oversight.delta: '[1' is not a YAML value"),
        ("veto:delta=2", "oversight.delta: Input should be less than or equal to 1, got 2"),
        ("veto:dela=1", "oversight.dela: unknown key; known here: delta"),
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
    assert made.assistant.misalignment.model_dump() == {"p": 0.5}


def test_the_control_of_its_own_moves_learns_them_also_where_refused_answers_teach_nothing(root: Path) -> None:
    made = spec(root, "oversight=veto", "finetune.refused=nothing")
    assert made.finetune.refused == "nothing"
    assert controls(made)["own_moves"].finetune.refused == "own"
