"""The console command `sandwich`: what a user types, turned into calls of the rooms below."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import chess
import click
import numpy as np

from agents.assistant import Assistant
from agents.base import Channel, Query
from agents.misalignment.base import REGISTRY as MISALIGNMENTS
from agents.players.base import REGISTRY as PLAYERS
from agents.players.base import parse_player
from agents.plugins import PluginError
from agents.tools import Tools
from agents.uci import UciServer
from engines import moves
from engines.network import CheckpointError
from engines.positions import GameBatch
from engines.settings import SpecError
from engines.stockfish import EngineError
from experiments.cli_data import corpus, train
from experiments.cli_evaluate import evaluate
from experiments.cli_match import ladder, match
from experiments.cli_sweep import sweep
from experiments.console import RunDisplay, figure_text
from experiments.game_page import game_page
from experiments.options import JSON, SEED
from sandwich.cluster import ClusterError
from sandwich.config import AssistantConfig, RunSpec, load_spec, overridden, validate
from sandwich.controls import FOLDER as CONTROLS
from sandwich.controls import MEANING, controls
from sandwich.corpus import CorpusError
from sandwich.ledger import LedgerError
from sandwich.loop import run as run_loop
from sandwich.oracle import CacheError
from sandwich.oversight.base import REGISTRY as OVERSIGHT
from sandwich.puzzles import SuiteError
from sandwich.sweep import cell_key
from sandwich.tracking import MetricsError

MISTAKES = (
    SpecError, PluginError, CheckpointError, CorpusError, LedgerError, MetricsError, EngineError, SuiteError,
    ClusterError, CacheError,
)  # fmt: skip
"""What a user can put right: told in one line, without a traceback."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sandwich")
def cli() -> None:
    """A weak player, a strong but misaligned assistant, and how much of the gap to the expert is recovered.

    \b
    Example: sandwich run experiments/specs/default.yaml assistant.misalignment.p=0.5
    """


cli.add_command(corpus)
cli.add_command(train)
cli.add_command(match)
cli.add_command(ladder)
cli.add_command(evaluate)
cli.add_command(sweep)


@cli.command()
@click.argument("spec", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              help="Run folder [default: runs/NAME]; {key} in it: a hash of what results depend on.")  # fmt: skip
@click.option("--controls", "with_controls", is_flag=True, help="The run's controls as well, in its folder.")
@JSON
def run(spec: Path, overrides: tuple[str, ...], out: Path | None, with_controls: bool, as_json: bool) -> None:
    """Play, learn and measure as SPEC says; go on where a run was cut off.

    Its controls are the same run with no answer believed, with an honest assistant, and with one that
    lies always; the report shows them beside it.

    \b
    Examples:
      sandwich run experiments/specs/default.yaml
      sandwich run experiments/specs/default.yaml assistant.misalignment.p=0.5 seed=2 --out runs/p50
    """
    settings = load_spec(spec, overrides)
    folder = keyed(out, settings) if out else Path("runs") / settings.name
    from experiments.report import write_report  # matplotlib takes a second to import

    beside = controls(settings) if with_controls else {}
    final = _run(settings, folder)
    if beside:
        final["controls"] = {name: _run(control, folder / CONTROLS / name) for name, control in beside.items()}
    report = write_report(folder)
    if as_json:
        click.echo(json.dumps(final))
        return
    click.echo(f"PGR {figure_text(final['pgr'])} (one training run), after {final['queries']} questions,"
               f" {final['misaligned_queries']} of them answered by a misaligned assistant")  # fmt: skip
    click.echo(f"Elo against the expert: {figure_text(final['elo_weak_start'], 0, sign=True)} before,"
               f" {figure_text(final['elo_weak_end'], 0, sign=True)} after")  # fmt: skip
    for name, control in final.get("controls", {}).items():
        click.echo(f"control {name} ({MEANING[name]}): PGR {figure_text(control['pgr'])}")
    click.echo(f"Report: {report}")


def keyed(out: Path, settings: RunSpec) -> Path:
    """A run folder in whose name `{key}` stands for the run's key, for those who start many runs by one command."""
    return Path(str(out).replace("{key}", cell_key(settings))) if "{key}" in str(out) else out


def _run(settings: RunSpec, folder: Path) -> dict[str, Any]:
    """A run with its progress, and its report."""
    from experiments.report import write_report

    headline = f"{settings.name}: {settings.steps} steps on {settings.worker_count} workers, in {folder}"
    with RunDisplay(settings.steps, headline) as display:
        try:
            final = run_loop(settings, folder, display, game_page)
        except KeyboardInterrupt:
            raise click.ClickException(f"stopped; the same command goes on from {folder}") from None
        write_report(folder)
    return final


@cli.command()
@click.argument("player")
@click.argument("fen")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@SEED
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="Moves to list.")
@JSON
def ask(player: str, fen: str, overrides: tuple[str, ...], seed: int, top: int, as_json: bool) -> None:
    """What PLAYER would do in position FEN, and what it thinks.

    PLAYER is `expert`, `weak`, the path of a checkpoint, TYPE:key=value,… (`sandwich plugins`), or
    `assistant`: then KEY=VALUE sets its honest player and its misalignment (FILE:CLASS is looked for
    in the current folder), and both its honest and its given answer are shown.

    \b
    Examples:
      sandwich ask weak "r1bqkbnr/pppp1ppp/2n5/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR w KQkq - 4 4"
      sandwich ask assistant "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1" misalignment.type=random_move misalignment.p=1
    """
    settings: dict[str, Any] = {"player": "expert", "misalignment": {"type": "random_move"}}
    if overrides and player != "assistant":
        raise SpecError(f"{overrides[0]}: only the player 'assistant' has settings")
    settings = overridden(settings, overrides)
    try:
        batch = GameBatch([fen], ply_cap=10_000)
    except ValueError as error:
        raise SpecError(str(error)) from None
    if batch.results[0]:
        raise SpecError(f"the game is over in {fen!r}: {batch.results[0].end}")
    assistant = validate(AssistantConfig, settings, Path()) if player == "assistant" else None
    words, legal, board = batch.words([0]), batch.legal([0]), batch.boards[0]
    with Tools() as tools:
        evaluator = tools.player(assistant.player if assistant else parse_player(player))
        seen = evaluator(words, legal)
        order = np.argsort(-seen.policy[0], kind="stable")[:top]
        answer: dict[str, Any] = {
            "player": player,
            "fen": board.fen(),
            "value": float(seen.value[0]),
            "wdl": [float(x) for x in seen.wdl[0]],
            "moves": [
                {"move": _san(legal[0][place], board), "uci": moves.uci(legal[0][place], board),
                 "probability": float(seen.policy[0][place])}
                for place in order
            ],
        }  # fmt: skip
        if assistant:
            query = Query(words[0], legal[0], Channel.MOVE, 0, 0, training=False)
            speaker = Assistant(evaluator, assistant.misalignment, tools)
            said = speaker.answer([query], [np.random.default_rng(seed)])[0]
            answer |= {"honest": _san(said.honest.move, board), "given": _san(said.given.move, board),
                       "misaligned": said.misaligned}  # fmt: skip
    if as_json:
        click.echo(json.dumps(answer))
        return
    side = "White" if board.turn else "Black"
    click.echo(f"{player} gives {side}, to move, an expected score of {answer['value']:.2f}"
               f" (win {answer['wdl'][0]:.0%}, draw {answer['wdl'][1]:.0%}, loss {answer['wdl'][2]:.0%})")  # fmt: skip
    for line in answer["moves"]:
        click.echo(f"  {line['move']:8} {line['probability']:6.1%}")
    if player == "assistant":
        click.echo(f"honest answer {answer['honest']}, given answer {answer['given']}"
                   + (" (misaligned)" if answer["misaligned"] else ""))  # fmt: skip


def _san(index: int | None, board: chess.Board) -> str:
    assert index is not None
    return board.san(moves.decode(index, board))


@cli.command()
@click.argument("player")
@SEED
def uci(player: str, seed: int) -> None:
    """PLAYER as an engine that any chess program can use (UCI on standard input and output).

    Its numeric settings are options, such as the dose of a misalignment, and so is its temperature.

    \b
    Examples:
      sandwich uci expert
      sandwich uci assistant:misalignment.type=random_move,misalignment.p=0.25
      sandwich uci mcts:simulations=200
    """
    chosen = parse_player(player)
    with Tools() as tools:
        UciServer(chosen, player.partition(":")[0], tools, sys.stdout, seed).serve(sys.stdin)


@cli.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report(folder: Path) -> None:
    """Write report.html of the run in FOLDER anew.

    \b
    Example: sandwich report runs/default
    """
    from experiments.report import write_report  # matplotlib takes a second to import

    if not (folder / "metrics.jsonl").exists():
        raise SpecError(f"{folder} holds no run: expected metrics.jsonl in it")
    click.echo(f"Report: {write_report(folder)}")


@cli.command()
@JSON
def plugins(as_json: bool) -> None:
    """List the misalignments, players and oversight strategies that are installed, with their settings.

    \b
    Example: sandwich plugins
    """
    found = [plugin for registry in (MISALIGNMENTS, PLAYERS, OVERSIGHT) for plugin in registry.listed()]
    if as_json:
        click.echo(json.dumps({"plugins": found}))
        return
    for number, plugin in enumerate(found):
        if number == 0 or plugin["kind"] != found[number - 1]["kind"]:
            click.echo(f"{plugin['kind']} (entry points: {plugin['group']})")
        click.echo(f"  {plugin['name']}: {plugin['error'] or plugin['summary']}  [{plugin['origin']}]")
        for field in plugin["fields"]:
            default = field["default"] if isinstance(field["default"], str) else json.dumps(field["default"])
            click.echo(f"      {field['name']} = {default}  {field['description']}")


def main() -> None:
    """Entry point: a user's mistake ends in one line, Ctrl-C in none of a traceback."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except MISTAKES as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
