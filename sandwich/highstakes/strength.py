"""How strong a player is behind a filter: a match of the filtered proposer against itself without one."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from agents.players.base import Player
from agents.players.filtered import Filtered
from engines.settings import Frozen
from sandwich.data.openings import book
from sandwich.evaluation.match import Contestants, play_match
from sandwich.highstakes.kept_rows import kept_figures
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.networks import InferenceConfig
from sandwich.statistics import elo_figure, score_figure, share_figure


class StrengthConfig(Frozen):
    """The match of a filtered player against the same player unfiltered."""

    pairs: int = Field(200, ge=2)
    """Openings of the book for measurements, which no dataset uses; each with both colours."""
    temperature: float = Field(1.0, ge=0)
    """Of both: 1 draws from their policies, as proposals are drawn; 0 plays the most probable move."""
    ply_cap: int = Field(200, ge=2)
    """Plies after which a game is a draw."""

    @field_validator("pairs")
    @classmethod
    def _openings(cls, pairs: int) -> int:
        if pairs > len(book("measure")):
            raise ValueError(f"the book has {len(book('measure'))} openings, got {pairs}")
        return pairs


def strength(
    cluster: Cluster,
    proposer: Player,
    checkpoints: Mapping[str, bytes],
    content: bytes,
    proposals: int,
    config: StrengthConfig,
    path: Path,
    seed: int,
    inference: InferenceConfig,
) -> dict[str, Any]:
    """JSON of `elo`, `score` and `capped` (games that ended at the ply cap) for the filtered player.

    content: the filter, as the bytes of its file. proposals: of a move, at most, before the one of least risk is
    played. A match is read from `path` where it was played there with the same filter and settings.
    """
    asked = {**config.model_dump(mode="json"), "proposals": proposals, "filter": sha256(content).hexdigest()}

    def played() -> dict[str, Any]:
        name, openings = "the filter", book("measure")[: config.pairs]
        filtered = Filtered(player=proposer, filter=name, proposals=proposals)
        contestants = Contestants(
            filtered, proposer, {**checkpoints, name: content}, (config.temperature, config.temperature)
        )
        match = play_match(cluster, contestants, openings, seed=seed, ply_cap=config.ply_cap, inference=inference)
        return {
            "elo": elo_figure(match.pairs).json(),
            "score": score_figure(match.pairs).json(),
            "capped": share_figure(match.capped, 2 * len(match.pairs)).json(),
        }

    return kept_figures(path, asked, played)
