"""Commands for players and plugins: ask one, list them."""

import json
from pathlib import Path
from typing import Any

import chess
import click
import numpy as np

from agents.advice import Channel, Query
from agents.assistant import Assistant
from agents.misalignment.base import REGISTRY as MISALIGNMENTS
from agents.players.base import REGISTRY as PLAYERS
from agents.players.base import parse_player
from agents.tools import Tools
from engines import moves
from engines.positions import GameBatch
from engines.settings import SpecError
from experiments.cli.options import JSON, SEED
from sandwich.highstakes.attacks.base import REGISTRY as ATTACKS
from sandwich.label_models.base import REGISTRY as LABEL_MODELS
from sandwich.oversight.base import REGISTRY as OVERSIGHT
from sandwich.spec.loading import overridden, validate
from sandwich.spec.run_spec import AssistantConfig


@click.command()
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
    settings: dict[str, Any] = {"base": "expert", "misalignment": {"type": "random_move"}}
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
    packed, legal, board = batch.packed([0]), batch.legal([0]), batch.board(0)
    with Tools() as tools:
        evaluator = tools.player(assistant.base if assistant else parse_player(player))
        evaluation = evaluator(packed, legal)
        order = np.argsort(-evaluation.policy[0], kind="stable")[:top]
        answer: dict[str, Any] = {
            "player": player,
            "fen": board.fen(),
            "value": float(evaluation.value[0]),
            "wdl": [float(x) for x in evaluation.wdl[0]],
            "moves": [
                {"move": _san(legal[0][place], board), "uci": moves.uci(legal[0][place], board),
                 "probability": float(evaluation.policy[0][place])}
                for place in order
            ],
        }  # fmt: skip
        if assistant:
            query = Query(packed[0], legal[0], Channel.MOVE, 0, 0, training=False)
            speaker = Assistant(evaluator, assistant.misalignment, tools)
            answer_given = speaker.answer([query], [np.random.default_rng(seed)])[0]
            answer |= {"honest": _san(answer_given.honest.move, board), "given": _san(answer_given.given.move, board),
                       "misaligned": answer_given.misaligned}  # fmt: skip
    if as_json:
        click.echo(json.dumps(answer))
        return
    side = "White" if board.turn else "Black"
    click.echo(f"{player} gives {side}, to move, an expected score of {answer['value']:.2f}"
               f" (win {answer['wdl'][0]:.0%}, draw {answer['wdl'][1]:.0%}, loss {answer['wdl'][2]:.0%})")  # fmt: skip
    click.echo("likeliest moves, with their probabilities:")
    for line in answer["moves"]:
        click.echo(f"  {line['move']:8} {line['probability']:6.1%}")
    if player == "assistant":
        click.echo(f"honest answer {answer['honest']}, given answer {answer['given']}"
                   + (" (misaligned)" if answer["misaligned"] else ""))  # fmt: skip


def _san(index: int | None, board: chess.Board) -> str:
    assert index is not None
    return board.san(moves.decode(index, board))


@click.command()
@JSON
def plugins(as_json: bool) -> None:
    """List the installed misalignments, players, oversight strategies, label models and attacks, with their settings.

    \b
    Example: sandwich plugins
    """
    registries = MISALIGNMENTS, PLAYERS, OVERSIGHT, LABEL_MODELS, ATTACKS
    plugins_ = [plugin for registry in registries for plugin in registry.listed()]
    if as_json:
        click.echo(json.dumps({"plugins": plugins_}))
        return
    for number, plugin in enumerate(plugins_):
        if number == 0 or plugin["kind"] != plugins_[number - 1]["kind"]:
            click.echo(f"{plugin['kind']} (entry points: {plugin['group']})")
        click.echo(f"  {plugin['name']}: {plugin['error'] or plugin['summary']}  [{plugin['origin']}]")
        for field in plugin["fields"]:
            default = field["default"] if isinstance(field["default"], str) else json.dumps(field["default"])
            click.echo(f"      {field['name']} = {default}  {field['description']}")
    for registry in registries:
        if elsewhere := registry.misspelt():
            click.echo(f"not found{elsewhere}")
