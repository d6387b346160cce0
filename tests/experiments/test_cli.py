"""What a user types, and what happens when it is wrong: one line, exit code 1 or 2, nothing written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest
import torch
import yaml
from click.testing import CliRunner

from agents.misalignment.base import REGISTRY
from engines.settings import SpecError
from experiments.cli.console import RunDisplay, counted
from experiments.cli.evaluate import evaluate
from experiments.cli.lazy import LazyGroup
from experiments.cli.main import cli, main
from experiments.cli.options import is_override
from sandwich.data.pgn_import import ImportConfig, import_pgn
from sandwich.evaluation.misalignments import MisalignmentEvaluationConfig
from sandwich.spec.loading import overridden, spec_settings, validate
from sandwich.spec.run_spec import RunSpec, check_devices, load_spec
from sandwich.sweeps.planning import planned
from tests.helpers.project import ROOT, needs_stockfish

pytestmark = pytest.mark.timeout(500)

SPECS = sorted((ROOT / "experiments" / "specs").glob("*.yaml"))
SWEEPS = [path for path in SPECS if "run" in yaml.safe_load(path.read_text())]
RUNS = [
    path for path in SPECS if not path.name.startswith(("train_", "evaluate_", "highstakes_")) and path not in SWEEPS
]


def sandwich(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "experiments.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=cwd or ROOT, env={**os.environ})


def printed(*arguments: str) -> str:
    """What the command writes to stdout, in this process; it ends well."""
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, (done.exception, done.stderr)
    return done.stdout


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_shipped_specs_are_whole(path: Path) -> None:
    spec = load_spec(path)
    assert spec.name == path.stem
    assert RunSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_the_list_of_compared_misalignments_is_whole() -> None:
    path = ROOT / "experiments" / "specs" / "evaluate_misalignments.yaml"
    config = validate(MisalignmentEvaluationConfig, spec_settings(path), path.parent)
    assert MisalignmentEvaluationConfig.model_validate(config.model_dump(mode="json")) == config
    wrappers = {"schedule", "trigger", "mixture"}
    header = path.read_text().partition("labelled_positions:")[0]
    said = CliRunner().invoke(cli, ["evaluate", "misalignments", "--help"]).output
    assert all(name in header and name in said for name in wrappers)
    assert {REGISTRY.name(entry.cases[0]) for entry in config.entries} == set(REGISTRY.entries) - wrappers
    assert all(len(entry.doses) >= 3 for entry in config.entries if entry.name != "honest")


def test_controls_differ_from_the_default_only_in_what_they_control() -> None:
    base, silent, liar = (
        load_spec(ROOT / "experiments" / "specs" / f"{name}.yaml").result_keys()
        for name in ("default", "control_no_query", "control_always_misaligned")
    )
    liar["assistant"]["misalignment"]["p"] = base["assistant"]["misalignment"]["p"]
    assert liar == base
    silent["assistant"]["misalignment"]["p"] = base["assistant"]["misalignment"]["p"]
    silent["play"]["ask"] = base["play"]["ask"]
    silent["finetune"]["examples"] = base["finetune"]["examples"]
    assert silent == base


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("assistant.misalignment.p=1.5", "assistant.misalignment.p: expected at most 1, got 1.5"),
        ("assistant.misalignment.type=random_mvoe", "'random_mvoe'; did you mean random_move? known: adversary"),
        ("assistant.misalignment.q=1", "misalignment.q: unknown key; known here: p"),
        ("play.gmaes=8", "play.gmaes: unknown key; did you mean games? known here: games, block"),
        ("play.games=7", "play.games: expected a multiple of 2, got 7"),
        ("play.channel=telepathy", "play.channel: expected 'move', 'distribution', 'value' or 'candidates'"),
        ("workers=0", "workers: expected at least 1, got 0"),
        ("steps=many", "steps: expected a whole number"),
        ("nothing", "override 'nothing': expected key=value"),
        ("seed.x=1", "seed.x: seed is a value and has no keys below it"),
        ("play.ask.n=0", "play.ask.n: expected at least 1, got 0"),
        ("play.ask={when: unsure, quintile: 1}", "play.ask.quintile: unknown key; did you mean quantile? known here"),
        ("play.ask.when=never", "finetune.examples must be student or all"),
        ("tracking.wandb=yes", "tracking.wandb: expected 'offline', 'online' or 'off'"),
        ("evaluate.pairs=5000", "evaluate.pairs"),
    ],
)  # fmt: skip
def test_mistake_in_an_override_is_named_in_one_line(override: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(ROOT / "experiments" / "specs" / "default.yaml", (override,))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_override_reaches_into_nested_settings() -> None:
    settings: dict[str, Any] = {"play": {"games": 2}}
    changed = overridden(settings, ("play.games=4", "finetune.fit.epochs=0.5"))
    assert changed == {
        "play": {"games": 4},
        "finetune": {"fit": {"epochs": "0.5"}},
    }  # text, from which a field makes its value
    assert settings == {"play": {"games": 2}}


def test_another_type_of_plugin_drops_the_settings_of_the_one_before() -> None:
    settings = {"misalignment": {"type": "random_move", "p": 0.25}}
    changed = overridden(settings, ("misalignment.strength=3", "misalignment.type=bias"))
    assert changed == {"misalignment": {"type": "bias", "strength": 3}}
    assert overridden(settings, ("misalignment.type=random_move",)) == settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "nosuch"), "no spec at nosuch: expected a YAML file, or a shipped spec: base_mcts, base_stockfish, "),
        (("run", "docs"), "docs is a folder and no spec: expected the path of a YAML file, or the name of a ship"),
        (("sweep", "nosuch"), "no spec at nosuch: expected"),
        (("evaluate", "oversight", "nosuch"), "no spec at nosuch: expected"),
        (("evaluate", "misalignments", "nosuch"), "no spec at nosuch: expected"),
        (("evaluate", "misalignments", "sead=1"), "sead: unknown key; did you mean seed? known here: seed"),
        (("evaluate", "misalignments", "labelled_positions.positions=1"), "labelled_positions.positions: expected at"),
        (("ask", "README.md", "8/8/8/8/8/8/4P3/K1k5 w - - 0 1"), "README.md is not a whole safetensors file"),
        (("ask", "network:checkpoint=README.md", "8/8/8/8/8/8/4P3/K1k5 w - - 0 1"), "README.md is not a whole"),
        (
            ("train", "weak", "--corpus", "docs", "--out", "{tmp}/x", "sead=1"),
            "sead: unknown key; did you mean seed? known",
        ),
        (("train", "adversary", "--out", "{tmp}/x", "sead=1"), "sead: unknown key; did you mean seed? known"),
        (
            ("train", "adversary", "--out", "{tmp}/x", "--against", "vote"),
            "expected a strategy that asks once, got",
        ),
        (("train", "adversary", "--out", "{tmp}/x", "--against", "veto:delt=1"), "against.delt: unknown key; did you"),
        (("run", "pyproject.toml"), "is not YAML"),
        (("run", "quick", "expert=nobody"), "unknown player 'nobody'; known: expert, weak"),
        (("run", "experiments/specs/quick.yaml", "student=README.md"), "README.md is not a whole safetensors file"),
        (("ask", "weak", "nonsense"), "not a position: 'nonsense'"),
        (("ask", "weak", "7k/5Q2/6K1/8/8/8/8/8 b - - 0 1"), "the game is over"),
        (("ask", "weak", "rkbbnnqr/pppppppp/8/8/8/8/PPPPPPPP/RKBBNNQR w HAha - 0 1"), "Chess960"),
        (("ask", "weak", "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1", "p=1"), "only the player 'assistant' has settings"),
        (("report", "docs"), "docs holds no run and no sweep: expected metrics.jsonl or sweep.yaml in it"),
        (("sweep", "status", "docs"), "docs holds no sweep: expected sweep.yaml in it"),
        (("sweep", "table", "docs"), "docs holds no sweep: expected sweep.yaml in it"),
        (("evaluate", "oversight", "docs"), "docs holds no sweep: expected sweep.yaml in it"),
        (("view", "nowhere"), "expected the folder of a run or a sweep, found no folder at nowhere"),
        (
            ("run", "experiments/specs/dose_smoke.yaml"),
            "dose_smoke.yaml is the spec of a sweep, not of a run: sandwich sweep exp",
        ),
        (("evaluate", "oracle", "docs"), "docs holds no run: expected ledger/step-*.parquet in it"),
        (("evaluate", "labels", "docs", "none"), "docs holds no run: expected ledger/step-*.parquet in it"),
        (("evaluate", "labels", "docs", "mixtur"), "mixtur: type: unknown label model 'mixtur'; did you mean mixture?"),
        (("evaluate", "agreement", "nobody"), "unknown player 'nobody'; known: expert, weak"),
        (("match", "expert", "weak", "--sprt", "5", "0"), "sprt: expected ELO0 under ELO1"),
        (("match", "expert"), "expected two players, or --round-robin and two or more, got 1"),
        (("match", "expert", "expert"), "two players of one name: give them names with NAME=PLAYER"),
        (("match", "expert", "weak", "--round-robin", "--anchor", "x"), "anchor: no player 'x'; players: expert, weak"),
        (("train", "expert", "--corpus", "docs", "--out", "{tmp}/x"), "docs is no corpus"),
        (("corpus", "import", "--out", "{tmp}/x", "nothing.pgn"), "no file at nothing.pgn"),
        (
            ("corpus", "generate", "--out", "{tmp}/x", "nodse=1"),
            "nodse: unknown key; did you mean nodes? known here: seed, shards",
        ),
    ],
)
def test_mistake_on_the_command_line_ends_in_one_line(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["sandwich", *(part.replace("{tmp}", str(tmp_path)) for part in arguments)])
    runs = set((ROOT / "runs").glob("*"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (1, 2)
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.strip().count("\n") == 0
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []
    assert set((ROOT / "runs").glob("*")) == runs  # where a run without --out would be


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("key", ["inference", "finetune.fit"])
def test_a_device_that_is_not_there_is_told_before_anything_is_written(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = str(ROOT / "experiments" / "specs" / "quick.yaml")
    done = CliRunner().invoke(cli, ["run", spec, f"{key}.device=cuda", "--out", str(tmp_path / "run")])
    assert isinstance(done.exception, SpecError)
    assert str(done.exception).startswith(f"{key}.device: 'cuda' asked for, but torch sees no CUDA device")
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # there it may be
    check_devices(load_spec(Path(spec), ("inference.device=cuda",)))


def test_a_mistake_ends_the_process_in_one_line(tmp_path: Path) -> None:
    done = sandwich("run", str(tmp_path / "nowhere.yaml"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "nowhere.yaml" in done.stderr


def test_the_package_runs_as_the_console_command() -> None:
    command = [sys.executable, "-m", "sandwich", "run", "nosuch"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no spec at nosuch: ")


def test_names_of_specs_are_completed() -> None:
    words = {"_SANDWICH_COMPLETE": "bash_complete", "COMP_WORDS": "sandwich run qu", "COMP_CWORD": "2"}
    done = CliRunner().invoke(cli, [], env=words, prog_name="sandwich")
    assert done.output.split() == ["plain,query_interval", "plain,quick"]


def test_the_kept_study_has_all_its_runs() -> None:
    _, cells = planned(ROOT / "docs" / "studies" / "dose_response")
    assert len(cells) == 30 and all(cell.done for cell in cells)


def test_ask_shows_moves_and_value() -> None:
    mate_in_one = "r1bqkbnr/pppp1ppp/2n5/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR w KQkq - 4 4"
    answer = json.loads(printed("ask", "expert", mate_in_one, "--json"))
    assert answer["moves"][0]["move"] == "Qxf7#"
    assert 0 <= answer["value"] <= 1
    assert abs(sum(answer["wdl"]) - 1) < 1e-3


def test_ask_shows_the_honest_and_the_given_answer_of_an_assistant() -> None:
    fen = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
    liar = json.loads(printed("ask", "assistant", fen, "misalignment.p=1", "--json"))
    assert liar["misaligned"] is True
    honest = json.loads(printed("ask", "assistant", fen, "misalignment.p=0", "--json"))
    assert honest["misaligned"] is False
    assert honest["given"] == honest["honest"] == honest["moves"][0]["move"]


def test_plugins_are_listed_with_their_settings() -> None:
    listed = printed("plugins")
    assert "  random_move: " in listed
    assert "      p = 0.25 " in listed
    assert "  trust: " in listed


def test_the_help_of_plugins_names_every_kind_that_it_lists() -> None:
    kinds = {plugin["kind"] for plugin in json.loads(CliRunner().invoke(cli, ["plugins", "--json"]).output)["plugins"]}
    said = CliRunner().invoke(cli, ["plugins", "--help"]).output
    assert len(kinds) == 5 and all(kind.split()[0] in said for kind in kinds)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of a group and of all commands below it."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def test_every_command_has_help_with_an_example() -> None:
    known = list(commands(cli))
    assert len(known) > 30
    for path in known:
        done = CliRunner().invoke(cli, [*path, "--help"])
        assert done.exit_code == 0 and "Example" in done.output, path


def test_a_training_leaves_its_learning_curve_as_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "a.pgn"
    file.write_text("1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 1-0\n\n" * 65)  # one in 64 is held back
    for _ in import_pgn([file], tmp_path / "games", ImportConfig(min_plies=1)):
        pass
    size = [f"network.{name}" for name in ("blocks=1", "channels=16", "squeeze=2", "head=16")]
    fit = [f"fit.{name}" for name in ("batch=64", "epochs=5", "threads=1", "precision=fp32", "device=cpu")]
    printed(
        "train", "weak", "--corpus", str(tmp_path / "games"), "--out", str(tmp_path / "small & weak"),
        "fraction=1", *size, *fit,
    )  # fmt: skip
    tree = ElementTree.parse(tmp_path / "small & weak" / "curve.svg")
    texts = {"".join(element.itertext()) for element in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert texts >= {"Training of small & weak", "Policy and value loss", "Top-1 accuracy", "optimiser step"}
    assert texts >= {"loss (nats per position)", "first target move found (% of positions)"}
    assert texts >= {"policy, training", "value, unseen games", "12 positions of unseen games, 95 % interval"}


@pytest.mark.usefixtures("cluster")
def test_agreement_is_shown_by_phase() -> None:
    found = json.loads(printed("evaluate", "agreement", "weak", "expert", "--positions", "40", "--json"))
    assert {phase: row["agreement"]["n"] for phase, row in found["weak"].items()}["all"] == 40
    assert sum(found["weak"][phase]["agreement"].get("n", 0) for phase in ("opening", "middlegame", "endgame")) == 40
    assert found["expert"]["all"]["agreement"]["value"] == 1
    assert found["weak"]["all"]["kl"]["value"] > 0.2 > found["expert"]["all"]["kl"]["value"] == 0


@needs_stockfish
@pytest.mark.usefixtures("cluster")
def test_the_same_match_twice_gives_the_same_pgn_for_any_number_of_workers(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        printed(
            "match", "assistant:base=weak,misalignment.p=0.5", "stockfish:nodes=10", "--pairs", "70",
            "--ply-cap", "12", "--seed", "3", "--workers", str(workers), "--pgn", str(tmp_path / name),
        )  # fmt: skip
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_text().count("[Event ") > 100


@needs_stockfish
@pytest.mark.usefixtures("cluster")
def test_the_ladder_counts_each_game_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    command = ["ladder", "stockfish:nodes=1", "--rung", "0", "--pairs", "2", "--workers", "1"]
    (row,) = [line for line in printed(*command).splitlines() if "random moves" in line]
    assert re.split(r"\s*[│┃]\s*", row.strip(" │┃"))[-1] == "4"
    (figures,) = json.loads(printed(*command, "--json")).values()
    assert figures["score"]["n"] == figures["elo"]["n"] == 4


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_match_ends_where_its_test_has_decided() -> None:
    arguments = ("match", "expert", "weak", "--pairs", "300", "--ply-cap", "60", "--json")
    told = json.loads(printed(*arguments, "--sprt", "0", "50"))
    assert told["sprt"]["state"] == "accepted"
    assert told["sprt"]["pairs"] < 128  # so clear a difference needs no 300 pairs
    assert told["score"]["n"] < 200
    text = printed(*arguments[:-1], "--sprt", "0", "50")
    assert "SPRT 0 against 50: 50 Elo accepted after" in text


@pytest.mark.parametrize("group", [cli, evaluate], ids=["sandwich", "evaluate"])
def test_every_command_is_where_its_group_says(group: LazyGroup) -> None:
    context = click.Context(group)
    for name, (_, text) in group.lazy.items():
        command = group.get_command(context, name)
        assert command is not None and command.help
        assert text.endswith(".") and len(text) < 70
    assert group.get_command(context, "nothing") is None


def test_help_needs_no_heavy_library() -> None:
    code = "import sys; from experiments.cli.main import cli; cli.main(['--help'], standalone_mode=False);" \
        "sys.exit(bool({'torch', 'ray', 'scipy', 'matplotlib'} & set(sys.modules)))"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("word", "override"),
    [
        ("min_rating=2000", True),
        ("labelled_positions.positions=5", True),
        ("elo=2000/games.pgn", False),  # there is such a file
        ("./elo=2000/none.pgn", False),
        ("/tmp/elo=2000/none.pgn", False),
        ("games.pgn", False),
        (f"over.seed=[{'1,' * 5000}]", True),
    ],
)
def test_a_path_is_no_override(word: str, override: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("elo=2000").mkdir()
    Path("elo=2000/games.pgn").touch()
    assert is_override(word) == override


GAME = '[Event "x"]\n[Result "1-0"]\n\n1.e4 e5 2.Nf3 Nc6 3.Bb5$1 a6 4.Ba4 Nf6 5.O-O Be7 1-0\n'


def test_an_import_takes_a_file_with_an_equals_sign_and_ends_in_an_error_where_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("elo=2000").mkdir()
    Path("elo=2000/games.pgn").write_text(GAME)
    call = ["sandwich", "corpus", "import", "--workers", "1", "elo=2000/games.pgn", "--out"]
    monkeypatch.setattr(sys, "argv", [*call, "kept"])
    main()
    assert capsys.readouterr().out == "1 games read, 1 kept, 10 positions in kept\n"
    for _ in range(2):  # the second time the import is there already
        monkeypatch.setattr(sys, "argv", [*call, "empty", "min_plies=11"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said == "Error: no game of elo=2000/games.pgn was kept: too few plies (10)"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("rnu",), "no command 'rnu'; did you mean run? commands: run, sweep, "),
        (("evaluate", "agreemnt"), "no command 'agreemnt'; did you mean agreement? commands: "),
        (("sweep", "statsu", "runs/x"), "no spec and no command 'statsu'; did you mean status?"),
        (("highstakes", "rnu"), "Did you mean 'run'?"),
    ],
)
def test_a_misspelt_command_is_told_with_the_one_that_was_meant(typed: tuple[str, ...], said: str) -> None:
    answer = CliRunner().invoke(cli, typed)
    assert answer.exit_code == 2
    assert said in answer.output


def test_a_phase_is_told_once_with_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    display = RunDisplay(3, "")
    display.step(1)
    display.begin("measure", 128)
    display.advance(128)
    display.advance(0)
    assert capsys.readouterr().err == "step 1/3 measure: 128/128 games, 0 s left\n"


@pytest.mark.parametrize(("number", "said"), [(1, "1 step"), (2, "2 steps"), (0, "0 steps")])
def test_a_number_agrees_with_its_noun(number: int, said: str) -> None:
    assert counted(number, "step") == said
