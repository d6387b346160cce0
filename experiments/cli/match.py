"""Commands that let players play each other: matches, round robins, the ladder."""

import itertools
import json
import re
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from agents.checkpoint_files import read_checkpoints
from agents.players.base import Player, parse_player
from engines.paths import is_file
from engines.settings import SpecError
from experiments.cli.console import Display, text_of
from experiments.cli.options import JSON, SEED, WORKERS
from sandwich.data import openings
from sandwich.evaluation.ladder import RUNGS, Rung
from sandwich.evaluation.match import Contestants, Match, play_match
from sandwich.runtime.cluster import Cluster, cores
from sandwich.runtime.files import write_whole
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.statistics import Figure, Sprt, elo_figure, score_figure, share_figure
from sandwich.statistics.ratings import rate

BOOTSTRAP = 1000
"""Draws of the bootstrap behind the intervals of ratings."""


PLY_CAP = 200
"""Plies after which a game is a draw."""
PAIRS = click.option(
    "--pairs",
    default=200,
    show_default=True,
    type=click.IntRange(2, len(openings.book("measure"))),
    help="Openings, each played with both colours.",
)


def _play(
    cluster: Cluster,
    display: Display,
    title: str,
    contestants: Contestants,
    pairs: int,
    seed: int,
    ply_cap: int,
    test: Sprt | None = None,
) -> Match:
    """A match with its progress and the Elo so far; a test ends it where it has decided."""
    display.begin(title, pairs)
    counted = [0]  # pairs that the display has heard of

    def decided(scores: npt.NDArray[np.float64]) -> bool:
        note = f"Elo {text_of(elo_figure(scores), 0, sign=True)}"
        verdict = test(scores) if test else None
        if verdict:
            note += f", LLR {verdict.llr:+.2f} in [{verdict.low:.2f}, {verdict.high:.2f}]"
        display.advance(len(scores) - counted[-1], note)
        counted.append(len(scores))
        return verdict is not None and verdict.state != "undecided"

    return play_match(
        cluster, contestants, openings.book("measure")[:pairs], seed=seed, ply_cap=ply_cap,
        inference=InferenceConfig(), enough=decided,
    )  # fmt: skip


def _named(text: str) -> tuple[str, Player]:
    """`NAME=PLAYER` or `PLAYER`, whose name is then what was typed; a file with `=` in its path is a player."""
    alias = None if is_file(text) else re.fullmatch(r"([\w.+-]+)=(.+)", text)
    return (alias[1], parse_player(alias[2])) if alias else (text, parse_player(text))


@click.command()
@click.argument("players", nargs=-1, required=True, metavar="PLAYER PLAYER...")
@PAIRS
@click.option("--round-robin", is_flag=True, help="Every player against every other, and a table of ratings.")
@click.option("--anchor", help="Name of the player that stands at 0 [default: the first].")
@click.option("--temperature", default=0.0, show_default=True, type=click.FloatRange(0), help="Of the first player.")
@click.option("--sprt", nargs=2, type=float, metavar="ELO0 ELO1", help="Stop once one of the two is accepted.")
@click.option(
    "--alpha",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 0.5, True, True),
    help="Error of the test at ELO0.",
)
@click.option(
    "--beta",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 0.5, True, True),
    help="Error of the test at ELO1.",
)
@click.option("--pgn", type=click.Path(dir_okay=False, path_type=Path), help="File to write the games to.")
@SEED
@click.option("--ply-cap", default=PLY_CAP, show_default=True, type=click.IntRange(2))
@WORKERS
@JSON
def match(
    players: tuple[str, ...],
    pairs: int,
    round_robin: bool,
    anchor: str | None,
    temperature: float,
    sprt: tuple[float, float] | None,
    alpha: float,
    beta: float,
    pgn: Path | None,
    seed: int,
    ply_cap: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Players against each other, from the book of measuring openings.

    A player is `expert`, `weak`, the path of a checkpoint, TYPE:key=value,… (`sandwich plugins`), or the
    path of a YAML file with a `type`; NAME=PLAYER gives it a name.

    \b
    Examples:
      sandwich match expert weak --pairs 400
      sandwich match expert weak --pairs 900 --sprt 0 10
      sandwich match mcts:simulations=64 stockfish:nodes=1 --pairs 50 --pgn games.pgn
      sandwich match --round-robin expert weak lying=assistant:misalignment.p=0.5 stockfish:nodes=1
    """
    named = dict(map(_named, players))
    if len(named) < len(players):
        raise SpecError("two players of one name: give them names with NAME=PLAYER")
    if len(named) < 2 or (len(named) > 2 and not round_robin):
        raise SpecError(f"expected two players, or --round-robin and two or more, got {len(named)}")
    if sprt is not None and (round_robin or sprt[0] >= sprt[1]):
        raise SpecError(f"sprt: expected ELO0 under ELO1, and a match of two players, got {sprt[0]:g} {sprt[1]:g}")
    if anchor is not None and anchor not in named:
        raise SpecError(f"anchor: no player {anchor!r}; players: {', '.join(named)}")
    checkpoints = read_checkpoints(list(named.values()))
    played: dict[tuple[str, str], Match] = {}
    test = None if sprt is None else Sprt(elo0=sprt[0], elo1=sprt[1], alpha=alpha, beta=beta)
    with Display() as display, Cluster(workers or cores(), display.message) as cluster:
        for first, second in itertools.combinations(named, 2):
            contestants = Contestants(named[first], named[second], checkpoints, (temperature, 0.0))
            title = f"{first} – {second}"
            played[first, second] = _play(cluster, display, title, contestants, pairs, seed, ply_cap, test)
    if pgn:
        write_whole(pgn, "\n".join(game.pgn(names) for names, game in played.items()).encode())
    if round_robin:
        _show_ratings(list(named), played, anchor or next(iter(named)), seed, as_json)
        return
    ((first, second), single) = next(iter(played.items()))
    figures: dict[str, Figure] = {
        "elo": elo_figure(single.pairs),
        "score": score_figure(single.pairs),
        "capped": share_figure(single.capped, 2 * len(single.pairs)),
    }
    verdict = test(single.pairs) if test else None
    if as_json:
        written = {name: figure.json() for name, figure in figures.items()}
        click.echo(json.dumps(written | ({"sprt": asdict(verdict)} if verdict else {})))
        return
    elo, score = text_of(figures["elo"], 0, sign=True), text_of(figures["score"], 3)
    games = f"{2 * len(single.pairs)} games ({single.capped} at the ply cap)"
    click.echo(f"{first} against {second}: Elo {elo}, score {score} in {games}")
    if verdict and sprt:
        verdicts = {"accepted": f"{sprt[1]:g} Elo accepted", "rejected": f"{sprt[0]:g} Elo accepted"}
        text = verdicts.get(verdict.state, "undecided")
        click.echo(f"SPRT {sprt[0]:g} against {sprt[1]:g}: {text} after {verdict.pairs} pairs, LLR {verdict.llr:.2f}")


def _show_ratings(
    names: list[str], played: dict[tuple[str, str], Match], anchor: str, seed: int, as_json: bool
) -> None:
    pairings = {(names.index(a), names.index(b)): match.pairs for (a, b), match in played.items()}
    rng = make_rng(RngStream.RATINGS, seed)
    ratings = dict(zip(names, rate(pairings, len(names), names.index(anchor), BOOTSTRAP, rng), strict=True))
    if as_json:
        results = [
            {"first": a, "second": b, "score": score_figure(match.pairs).json()} for (a, b), match in played.items()
        ]
        click.echo(json.dumps({"ratings": {name: r.json() for name, r in ratings.items()}, "matches": results}))
        return
    table = Table("player", "Elo", "games", title=f"ratings, {anchor} = 0", box=None)
    for name, rating in sorted(ratings.items(), key=lambda item: -(item[1].value or 0)):
        table.add_row(name, "0" if name == anchor else text_of(rating, 0, sign=True), str(rating.n))
    Console().print(table)


@click.command()
@click.argument("player")
@PAIRS
@click.option(
    "--rung",
    "chosen",
    multiple=True,
    type=click.IntRange(0, len(RUNGS) - 1),
    help="Only this rung; may be given again.",
)
@SEED
@WORKERS
@JSON
def ladder(player: str, pairs: int, chosen: tuple[int, ...], seed: int, workers: int | None, as_json: bool) -> None:
    """PLAYER against Stockfish at fixed nodes, hash cleared: six rungs, from half random to 1,000 nodes.

    \b
    Example: sandwich ladder expert --pairs 100
    """
    climber = parse_player(player)
    checkpoints = read_checkpoints(climber)
    table = Table("opponent", "score", "Elo", "games", title=f"{player} on the ladder")
    figures: dict[Rung, tuple[Figure, Figure]] = {}
    with Display() as display, Cluster(workers or cores(), display.message) as cluster:
        for rung in [RUNGS[number] for number in chosen] or RUNGS:
            played = _play(
                cluster, display, str(rung), Contestants(climber, rung.player, checkpoints), pairs, seed, PLY_CAP
            )
            figures[rung] = score, elo = score_figure(played.pairs), elo_figure(played.pairs)
            table.add_row(str(rung), text_of(score, 3), text_of(elo, 0, sign=True), str(score.n))
    if as_json:
        by_rung = {str(rung): {"score": score.json(), "elo": elo.json()} for rung, (score, elo) in figures.items()}
        click.echo(json.dumps(by_rung))
    else:
        Console().print(table)
