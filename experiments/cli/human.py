"""The command by which a person attacks a blunder filter in a browser."""

import hashlib
import json
import re
import webbrowser
from dataclasses import dataclass, field
from pathlib import Path

import click

from engines import filter as filters
from engines.settings import SpecError
from engines.stockfish import Stockfish
from sandwich.highstakes.attack_runs import HUMAN
from sandwich.highstakes.environment import Judge, JudgeConfig
from sandwich.runtime.kept import read_json, read_kept, read_settings, write_kept
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.loading import validate

GENERATION = re.compile(r"generation-(0|[1-9][0-9]*)")
"""Folder of a filter of an experiment; any other name is somebody's own."""


@dataclass(frozen=True)
class Target:
    """A filter to attack: its file, who judges, where attack runs go, files of the dataset with catastrophes, and
    where the filter is evaluated."""

    filter: Path
    judge: JudgeConfig
    folder: Path
    starts: tuple[Path, ...] = ()
    inference: InferenceConfig = field(default_factory=InferenceConfig)


def target(there: Path, generation: int | None, out: Path | None) -> Target:
    """The filter that `there` is, or that of an experiment's folder (the last one, where no generation is named).

    Raises SpecError, DamagedError.
    """
    if there.is_file():
        if out is None or generation is not None:
            raise SpecError(f"{there} is a filter alone: expected --out for the folder of its runs, and no generation")
        return Target(there, JudgeConfig(), out)
    if out is not None:
        raise SpecError(f"{there} is an experiment, which keeps its own attack runs: --out is for a filter alone")
    named = (GENERATION.fullmatch(path.parent.name) for path in there.glob("generation-*/filter.safetensors"))
    known = sorted(int(match[1]) for match in named if match)
    if not known:
        raise SpecError(
            f"{there} holds no filter generation-N/filter.safetensors:"
            f" sandwich highstakes train SPEC --out {there} makes one"
        )
    number = known[-1] if generation is None else generation
    if number not in known:
        raise SpecError(f"{there} has no generation {number}; there: {', '.join(map(str, known))}")
    spec = read_settings(there / "spec.yaml")
    home = there / f"generation-{number}"
    return Target(
        home / "filter.safetensors",
        validate(JudgeConfig, spec.get("judge", {})),
        home / "attacks" / HUMAN,
        tuple(sorted((there / "dataset").glob("block-*.parquet"))),
        validate(InferenceConfig, spec.get("inference", {})),
    )


def claim(aim: Target, content: bytes) -> None:
    """Note in the folder of attack runs what they are on; SpecError where it is something else already."""
    aim.folder.mkdir(parents=True, exist_ok=True)
    path = aim.folder / "about.json"
    about = {"filter": hashlib.sha256(content).hexdigest(), "judge": aim.judge.model_dump(mode="json")}
    if not path.exists():
        write_kept(path, (json.dumps(about) + "\n").encode())
    elif read_json(path) != about:
        raise SpecError(f"{aim.folder} holds attack runs on another filter, or by another judge: choose another folder")


@click.command()
@click.argument("there", metavar="FOLDER|FILTER", type=click.Path(exists=True, path_type=Path))
@click.option("--generation", type=click.IntRange(0), help="Filter of an experiment [default: its last].")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the runs on a filter alone.")
@click.option("--port", default=8766, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--open", "in_browser", is_flag=True, help="Open a browser there.")
def human(there: Path, generation: int | None, out: Path | None, port: int, in_browser: bool) -> None:
    """Attack a filter by hand: that of an experiment in FOLDER, or the file FILTER, on a page for this machine only.

    \b
    Examples:
      sandwich highstakes human runs/highstakes_small --generation 0
      sandwich highstakes human filter.safetensors --out runs/by_hand
    """
    from experiments.viewer.human import human_application  # matplotlib takes a second to import
    from experiments.viewer.server import listen
    from sandwich.highstakes.human import HumanAttack

    aim = target(there, generation, out)
    content = read_kept(aim.filter)
    filters.from_bytes(content, str(aim.filter))  # or one line that names the file
    with Stockfish(hash_mib=1) as engine:
        claim(aim, content)
        attack = HumanAttack(content, Judge(engine, aim.judge), aim.folder, starts=aim.starts, inference=aim.inference)

        def announce(address: str) -> None:
            click.echo(f"{aim.filter}: {address} (Ctrl-C ends it); adversarial examples go to {aim.folder}")
            if in_browser:
                webbrowser.open(address)

        listen(human_application(attack, aim.judge, str(aim.filter)), port, announce)
