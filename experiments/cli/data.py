"""Commands that make things and measure things: corpora, openings, players, matches, the ladder."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from engines.settings import SpecError
from engines.stockfish import Stockfish
from experiments.cli.console import Display, figure_text
from experiments.cli.options import JSON, OUT, OVERRIDES, WORKERS, is_override
from sandwich.adversary.config import AdversaryConfig
from sandwich.adversary.training import Round, train_adversary
from sandwich.data import openings
from sandwich.data.generate import GenerateConfig, generate
from sandwich.data.pgn_import import ImportConfig, import_pgn
from sandwich.rl.ppo import PPOConfig, train_policy
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.files import write_whole
from sandwich.spec.kinds import ADVERSARY, TRAINING, read_spec
from sandwich.spec.loading import overridden, validate
from sandwich.training.labels import found_in
from sandwich.training.pretraining import PretrainConfig, pretrain


@click.group()
def corpus() -> None:
    """Make labelled positions to train on.

    \b
    Example: sandwich corpus import --out corpora/games games.pgn.zst
    """


@corpus.command("generate")
@OUT
@WORKERS
@OVERRIDES
def generate_command(out: Path, workers: int | None, overrides: tuple[str, ...]) -> None:
    """Let Stockfish play itself and label every position; resume where it was interrupted.

    \b
    Example: sandwich corpus generate --out corpora/stockfish shards=90 seed=1
    """
    config = validate(GenerateConfig, overridden({}, overrides))
    processes = workers or cores()
    positions = 0
    with Display() as display:
        display.begin("shards", config.shards)
        made = 0
        for _, rows in generate(out, config, processes):
            positions, made = positions + rows, made + 1
            display.advance(1, f"{positions} positions")
        if made < config.shards:
            display.message(f"{config.shards - made} shards were there already")
    click.echo(f"{positions} new positions in {out}")


@corpus.command("import")
@OUT
@WORKERS
@click.argument("sources", nargs=-1, required=True, metavar="FILE.pgn[.zst]... [KEY=VALUE]...")
def import_command(out: Path, workers: int | None, sources: tuple[str, ...]) -> None:
    """Read games from PGN or PGN.zst files, such as those of database.lichess.org.

    \b
    Example: sandwich corpus import --out corpora/lichess lichess_db.pgn.zst min_rating=2000 min_seconds=180
    """
    files = [Path(source) for source in sources if not is_override(source)]
    config = validate(ImportConfig, overridden({}, [word for word in sources if is_override(word)]))
    if not files:
        raise SpecError("no file named: expected at least one FILE.pgn or FILE.pgn.zst")
    if missing := [file for file in files if not file.is_file()]:
        raise SpecError(f"no file at {missing[0]}")
    done = 0
    with Display() as display:
        for progress in import_pgn(files, out, config, workers or cores()):
            if not done:
                display.begin("bytes", progress.bytes_total)
            display.advance(progress.bytes_read - done, f"{progress.games} games, {progress.kept} kept")
            done = progress.bytes_read
    report = progress.report
    assert report is not None, "the last progress of an import carries its report"
    click.echo(f"{report.games} games read, {report.kept} kept, {report.positions} positions in {out}")
    for reason, count in sorted(report.skipped.items(), key=lambda item: -item[1]):
        place = report.examples[reason]
        where = f"{place.file}" + (f", game {place.game}" if place.game else "")
        click.echo(f"  {count} skipped: {reason} (first: {where}; {place.detail})")
    if not report.kept:
        why = "; ".join(f"{reason} ({report.examples[reason].detail})" for reason in list(report.skipped)[:3])
        raise SpecError(f"no game of {', '.join(map(str, files))} was kept: {why or 'there is none in it'}")


@corpus.command("openings")
@click.argument("purpose", type=click.Choice([*openings.PURPOSES, "positions"]))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="EPD file to write.")
@click.option("--size", default=1000, show_default=True, type=click.IntRange(1), help="Lines, before any are left out.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option(
    "--exclude",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave out what occurs in this corpus; may be given again.",
)
def openings_command(purpose: str, out: Path, size: int, seed: int, exclude: tuple[Path, ...]) -> None:
    """Make a book of balanced openings, or a set of middle-game positions, with Stockfish.

    \b
    The shipped files: play --size 2000; measure --size 1000 and positions --size 500, these two
    with --exclude and the corpus of the shipped expert. All with seed 0.
    Example: sandwich corpus openings measure --out measure.epd --exclude corpora/stockfish
    """
    names = [*openings.PURPOSES, "positions"]
    rng = np.random.default_rng([seed, names.index(purpose)])
    with Stockfish() as engine, Display() as display:
        display.begin("openings", size)

        lines = (
            openings.make_positions(engine, size, rng, display)
            if purpose == "positions"
            else openings.make_book(engine, openings.PURPOSES[names.index(purpose)], size, rng, display)
        )
    if exclude:
        places = [openings.place(f"{line} 0 1") for line in lines]
        seen = found_in(exclude, frozenset(places))
        lines = [line for line, place in zip(lines, places, strict=True) if place not in seen]
    write_whole(out, ("\n".join(lines) + "\n").encode())
    click.echo(f"{len(lines)} positions in {out}")


@click.group()
def train() -> None:
    """Train a player from corpora, or an oversight policy in games.

    \b
    Example: sandwich train weak --corpus corpora/stockfish --out players/weak
    """


def _train(corpora: tuple[Path, ...], out: Path, recipe: str, overrides: tuple[str, ...]) -> None:
    config = read_spec(PretrainConfig, TRAINING, recipe, overrides)[0]
    with Display() as display:
        pretrain(corpora, out, config, openings.measured_positions(), display)
    from experiments.figures.learning_curve import write_curve

    write_curve(out)
    click.echo(f"Player: {out / 'network.safetensors'}")


CORPORA = click.option(
    "--corpus",
    "corpora",
    multiple=True,
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Corpus folder; may be given again.",
)


@train.command("expert")
@CORPORA
@OUT
@OVERRIDES
def train_expert(corpora: tuple[Path, ...], out: Path, overrides: tuple[str, ...]) -> None:
    """Train an expert as the shipped spec `train_expert` says; resume where it was interrupted.

    \b
    Example: sandwich train expert --corpus corpora/stockfish --out players/expert
    """
    _train(corpora, out, "train_expert", overrides)


@train.command("weak")
@CORPORA
@OUT
@OVERRIDES
def train_weak(corpora: tuple[Path, ...], out: Path, overrides: tuple[str, ...]) -> None:
    """Train a weak player as the shipped spec `train_weak` says: less of the corpus, fewer steps.

    \b
    Example: sandwich train weak --corpus corpora/stockfish --out players/weak fraction=0.01
    """
    _train(corpora, out, "train_weak", overrides)


@train.command("adversary")
@OUT
@click.option("--against", metavar="STRATEGY", help="Oversight strategy that is to believe it, as TYPE:key=value,…")
@WORKERS
@OVERRIDES
def train_adversary_command(out: Path, against: str | None, workers: int | None, overrides: tuple[str, ...]) -> None:
    """Train an adversary as the shipped spec `train_adversary` says; resume after its last round.

    It begins as the expert and learns to lose without arousing the weak player's suspicion; with --against (or the key
    `against`), to lose where the weak player with that strategy, which asks once, believes it.

    \b
    Examples:
      sandwich train adversary --out players/adversary labelled_positions.positions=20000
      sandwich train adversary --out players/hidden --against plausible:least=0.02
    """
    said = [f"against={against}"] if against is not None else []
    config = read_spec(AdversaryConfig, ADVERSARY, "train_adversary", overrides, said)[0]
    with Display() as display, Cluster(workers or cores(), display.message) as cluster:

        def finished(made: Round) -> None:
            display.message(
                f"round {made.number}: on {made.positions} unseen positions {made.harm:.1f} Win% lost a move; suspicion"
                f" {made.suspected:.1f} of the weak player, {made.suspected_newest:.1f} of the newest judge,"
                f" {made.suspected_after:.1f} once it had learned{_heard(made)}"
            )

        train_adversary(cluster, out, config, display, finished)
    click.echo(f"Player: {out / 'network.safetensors'}")


def _heard(made: Round) -> str:
    heard = made.against
    if heard is None:
        return ""
    cost = "" if heard.believed_harm is None else f", at {heard.believed_harm:.1f} Win% each"
    return (
        f"; the strategy believes {heard.believed:.0%} of its moves{cost}, with the newest judge"
        f" {heard.believed_newest:.0%}, {heard.believed_after:.0%} once it had learned"
    )


@train.command("oversight")
@OUT
@JSON
@OVERRIDES
def train_oversight(out: Path, as_json: bool, overrides: tuple[str, ...]) -> None:
    """Train the policy of the oversight strategy `learned` in games of the weak player with its assistant.

    \b
    Example: sandwich train oversight --out players/oversight iterations=16 query_cost=0.005
    """
    config = validate(PPOConfig, overridden({}, overrides))
    with Display() as display:
        display.begin("iterations", config.iterations)

        def show(row: dict[str, Any]) -> None:
            display.message(
                f"iteration {row['iteration']}: score {figure_text(row['score'])}, believed of the lies"
                f" {figure_text(row['lies_believed'])} and of the honest answers {figure_text(row['honest_believed'])},"
                f" {row['questions']:.2f} questions a decision"
            )
            display.advance(1)

        curve = train_policy(out, config, show)
    policy = out / "policy.safetensors"
    click.echo(json.dumps({"policy": str(policy), "curve": curve}) if as_json else f"Policy: {policy}")
