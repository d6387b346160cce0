"""W&B sweep files: each is one, and what `wandb agent` makes of it is a command of ours."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from experiments.cli.run import keyed, run
from sandwich.spec.run_spec import load_spec
from tests.helpers.project import ROOT

FILES = sorted((ROOT / "experiments" / "wandb").glob("*.yaml"))


def corners(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Some choices of a sweep: every listed value, and both ends of a range."""
    lists = [setting.get("values", [setting.get("min"), setting.get("max")]) for setting in parameters.values()]
    return [dict(zip(parameters, chosen, strict=True)) for chosen in product(*lists)]


def commands(sweep: dict[str, Any]) -> list[list[str]]:
    """The command lines that `wandb agent` runs."""
    made = []
    for chosen in corners(sweep["parameters"]):
        args = create_sweep_command_args({"args": {key: {"value": value} for key, value in chosen.items()}})
        parts = [args["args_no_hyphens"] if part == "${args_no_hyphens}" else [part] for part in sweep["command"]]
        made.append([word for part in parts for word in part])
    return made


def test_there_are_some() -> None:
    assert {path.stem for path in FILES} >= {"dose"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_sweep_file_is_one(path: Path) -> None:
    sweep = yaml.safe_load(path.read_text())
    assert sweep["method"] in ("grid", "random", "bayes")
    assert sweep["metric"] == {"name": "result/pgr", "goal": "maximize"}
    for given in sweep["parameters"].values():
        assert set(given) in ({"values"}, {"distribution", "min", "max"})
    assert sweep["method"] != "grid" or all("values" in given for given in sweep["parameters"].values())
    assert sweep["command"][:2] == ["sandwich", "run"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_an_agent_runs_is_a_run_with_a_folder_of_its_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    folders = []
    sweep = yaml.safe_load(path.read_text())
    for command in commands(sweep):
        given = run.make_context("sandwich run", command[2:]).params
        settings = load_spec(given["spec"], given["overrides"])
        assert settings.tracking.wandb == "online"
        folders.append(keyed(given["out"], settings))
    assert len(set(folders)) == len(folders)
    assert all(folder.parent == Path("runs/wandb") and "{" not in folder.name for folder in folders)
