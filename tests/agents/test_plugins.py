"""Where plugins of somebody else's may stand, and how they travel to workers."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agents.misalignment.base import REGISTRY, Misalignment
from agents.misalignment.random_move import RandomMove
from agents.players.base import REGISTRY as PLAYERS
from agents.plugins import PluginError, sources
from agents.registry import Registry
from engines.settings import SpecError
from sandwich.spec.run_spec import RunSpec, load_spec
from tests.helpers.doc_pages import register
from tests.helpers.project import ROOT

# Every place in a spec, and what travels


WHOLE = """
from enum import StrEnum

from agents.misalignment.base import AnyMisalignment, Misalignment
from agents.players.network import Network
from sandwich.oversight.trust import Trust


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Part(Misalignment):
    mood: Mood = Mood.GOOD

    def corrupt(self, queries, honest, rngs, tools):
        return honest


class Whole(Part):
    part: AnyMisalignment = Part(mood=Mood.BAD)


class Believer(Trust):
    pass


class Goal(Network):
    pass
"""

PLACES = (
    "assistant.misalignment={type: mixture, parts: [{type: 'mine:Whole', mood: bad}, {type: random_move}]}",
    "oversight={type: 'mine:Believer'}",
    "expert={type: 'mine:Goal', checkpoint: weak}",
)


@pytest.fixture
def everywhere(tmp_path: Path) -> RunSpec:
    """A spec with classes of one file in all its places."""
    shutil.copy(ROOT / "experiments" / "specs" / "quick.yaml", tmp_path / "spec.yaml")
    (tmp_path / "mine.py").write_text(WHOLE)
    return load_spec(tmp_path / "spec.yaml", PLACES)


def test_a_class_beside_the_spec_is_found_in_every_place_of_it(everywhere: RunSpec, tmp_path: Path) -> None:
    assert sources(everywhere) == {"mine.py": WHOLE}
    assert sources({"nested": [(everywhere,)]}) == {"mine.py": WHOLE}
    written = everywhere.model_dump(mode="json")
    part = {"type": "mine:Part", "mood": "bad"}
    whole = {"type": "mine:Whole", "mood": "bad", "part": part}
    assert written["assistant"]["misalignment"]["parts"] == [
        whole,
        {"type": "random_move", "p": 0.25, "coin": "question"},
    ]
    assert written["oversight"] == {"type": "mine:Believer"}
    assert written["expert"] == {"type": "mine:Goal", "checkpoint": "weak"}
    (tmp_path / "again.yaml").write_text(json.dumps(written))
    assert load_spec(tmp_path / "again.yaml").model_dump(mode="json") == written


def test_a_class_beside_the_spec_travels_with_its_source_to_a_process_that_has_never_seen_it(
    everywhere: RunSpec, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").unlink()
    look = "import pickle, sys; spec = pickle.load(sys.stdin.buffer); print([spec.assistant.misalignment, spec.expert])"
    done = subprocess.run([sys.executable, "-c", look], input=pickle.dumps(everywhere), cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == str([everywhere.assistant.misalignment, everywhere.expert])


def test_the_installed_class_that_a_file_extends_stays_what_it_is(everywhere: RunSpec) -> None:
    assert REGISTRY.name(RandomMove()) == "random_move"
    assert PLAYERS.describe(PLAYERS.parse({"type": "network"})) == {"type": "network", "checkpoint": "expert"}
    assert pickle.loads(pickle.dumps(RandomMove(p=0.5))) == RandomMove(p=0.5)


# Packages that get in each other's way

INSTALLED = """
import agents.misalignment.random_move
from agents.misalignment.base import Misalignment
from sandwich.oversight.trust import Trust


class Mine(agents.misalignment.random_move.RandomMove):
    pass


class Unwritten(Misalignment):
    pass
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Misalignment]:
    """A registry that finds the plugins of two packages more."""
    own = tmp_path / "plugins_for_tests"
    own.mkdir()
    (own / "__init__.py").write_text("from plugins_for_tests.inside import Mine\n")
    (own / "inside.py").write_text(INSTALLED)
    (own / "raising.py").write_text("\n\nNUMBER = 1 / 0\n")
    group = "sandwich.misalignments"
    register(tmp_path, "one", "1.0", group, {
        "a_broken": "nothing_there:Broken",
        "mine": "plugins_for_tests:Mine",
        "raising": "plugins_for_tests.raising:Mine",
        "strategy": "plugins_for_tests.inside:Trust",
        "unwritten": "plugins_for_tests.inside:Unwritten",
        "bias": "plugins_for_tests.inside:Mine",
    })  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("misalignment", group, Misalignment)  # type: ignore[type-abstract]


def test_a_class_is_named_by_its_entry_point_wherever_that_finds_it_and_whatever_is_broken(
    packages: Registry[Misalignment],
) -> None:
    plugin = packages.parse({"type": "mine", "p": 0.5})
    assert packages.describe(plugin) == {"type": "mine", "p": 0.5, "coin": "question"}
    assert packages.describe(packages.parse({"type": "random_move"})) == {
        "type": "random_move",
        "p": 0.25,
        "coin": "question",
    }


@pytest.mark.parametrize("group", ["sandwich.misalignment", "sandwich.misaligments", "Sandwich.Misalignments"])
def test_a_group_that_is_misspelt_is_told_where_a_plugin_is_not_found(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path, "one", "1.0", group, {"mine": "nowhere:Mine"})
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("misalignment", "sandwich.misalignments", Misalignment)  # type: ignore[type-abstract]
    hint = f"; one 1.0 registers 'mine' in the group {group!r}, expected 'sandwich.misalignments'"
    with pytest.raises(SpecError) as error:
        registry.parse({"type": "mine"})
    assert str(error.value).startswith("type: unknown misalignment 'mine'; known: ")
    assert str(error.value).endswith(hint)
    with pytest.raises(SpecError) as error:
        registry.parse({"type": "yours"})
    assert hint not in str(error.value)
    assert registry.misspelt() == hint
    assert PLAYERS.misspelt() == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a_broken", "(nothing_there:Broken) can't be loaded: ModuleNotFoundError: No module named 'nothing_there'"),
        ("raising", "plugins_for_tests/raising.py, line 3)"),
        ("strategy", "'strategy': plugins_for_tests.inside:Trust is no Misalignment"),
        ("unwritten", "'unwritten': plugins_for_tests.inside:Unwritten is no whole Misalignment: it lacks corrupt"),
        ("bias", "misalignment 'bias' is registered more than once: "),
    ],
)
def test_package_that_cannot_be_used_is_told_in_one_line(
    name: str, said: str, packages: Registry[Misalignment]
) -> None:
    with pytest.raises(PluginError) as error:
        packages.parse({"type": name})
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    (listed,) = (about for about in packages.listed() if about["name"] == name)
    assert listed["error"] == str(error.value)
