"""Measuring the student after a step: matches against the expert, agreement with it, Win% loss, puzzles.

Everything it is held against stays the same from step to step, and is looked at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.players.assistant import AssistantPlayer
from agents.players.base import Player
from agents.players.network import Network
from engines.positions import parse_fen
from sandwich.data.openings import book, positions
from sandwich.evaluation.agreement import View, agreement, view_of
from sandwich.evaluation.match import Contestants, Match, play_match
from sandwich.evaluation.oracle import Oracle
from sandwich.evaluation.puzzles import Puzzle, Solved, read_puzzles, solve_on
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.progress import ProgressReporter, Row
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.spec.run_spec import RunSpec
from sandwich.statistics import (
    Figure,
    Reached,
    elo_figure,
    mean_figure,
    pgr_figure,
    ratio_figure,
    score_figure,
    share_figure,
)

STUDENT = Network(checkpoint="<student>")
"""The student as a player; no file has this name."""

DRAWN = {"half": 0.5, "sampled": 1.0}
"""Temperatures at which the student is measured beside its best moves, by the name of each in the metrics."""

Floats = npt.NDArray[np.float64]


class Measurer:
    """Measures the student of a run, step after step.

    oracle: judges the moves on the fixed positions.
    """

    def __init__(
        self,
        cluster: Cluster,
        spec: RunSpec,
        checkpoints: Mapping[str, bytes],
        oracle: Oracle,
        progress: ProgressReporter,
    ) -> None:
        self._cluster = cluster
        self._spec = spec
        self._checkpoints = checkpoints
        self._oracle = oracle
        self._progress = progress
        self._fens = positions()[: spec.evaluate.positions]

    def row(self, step: int, student: bytes, rows: Sequence[Row]) -> Row:
        """Metrics of the student with the weights `student`; `rows` are those of the steps before.

        Raises EngineError.
        """
        config = self._spec.evaluate
        checkpoints = {**self._checkpoints, STUDENT.checkpoint: student}
        self._progress.begin("measure", (1 + len(DRAWN) * config.sampled) * config.pairs * 2)
        best = self._match(STUDENT, checkpoints, self._openings)
        row: Row = {
            "step": step,
            "elo": elo_figure(best.pairs).json(),
            "score": score_figure(best.pairs).json(),
            "capped": share_figure(best.capped, 2 * len(best.pairs)).json(),
            "pairs": {"best": _by_opening(best, config.pairs)},
        }
        for name, temperature in DRAWN.items():
            if config.sampled:
                drawn = self._match(STUDENT, checkpoints, self._openings, temperature)
                row["pairs"][name] = _by_opening(drawn, config.pairs)
                row[f"elo_{name}"] = elo_figure(drawn.pairs).json()
            else:
                row[f"elo_{name}"] = Figure(None, reason="evaluate.sampled is false").json()
        row["reached"] = self._reached(step, best.pairs, checkpoints, rows)
        row |= self._on_positions(checkpoints)
        row |= self._on_puzzles(checkpoints)
        return row | self._recovered(row, rows[0] if rows else row)

    def assistant(self) -> Row:
        """What row 0 says of the assistant: its own strength, unless `evaluate.assistant` is false."""
        if not self._spec.evaluate.assistant:
            return {}
        speaker = self._spec.assistant
        player = AssistantPlayer(base=speaker.base, misalignment=speaker.misalignment)
        self._progress.begin("measure the assistant", 2 * self._spec.evaluate.pairs)
        return {"elo_assistant": elo_figure(self._match(player, self._checkpoints, self._openings).pairs).json()}

    def with_losses(self, row: Row, student: bytes, first: Row) -> Row:
        """A row that was measured without the oracle, with what the student's moves lose; `first` is row 0.

        Raises EngineError.
        """
        new = row | self._on_positions({**self._checkpoints, STUDENT.checkpoint: student})
        return new | self._recovered(new, first if row["step"] else new)

    @property
    def _openings(self) -> Sequence[str]:
        return book("measure")[: self._spec.evaluate.pairs]

    def _match(
        self, player: Player, checkpoints: Mapping[str, bytes], fens: Sequence[str], temperature: float = 0.0
    ) -> Match:
        """A player against the expert, who plays its best moves."""
        spec = self._spec
        contestants = Contestants(player, spec.expert, checkpoints, (temperature, 0.0))
        counted = [0]  # pairs that progress has heard of

        def count(pairs: Floats) -> bool:
            self._progress.advance(2 * (len(pairs) - counted[-1]))
            counted.append(len(pairs))
            return False

        played = play_match(
            self._cluster, contestants, fens, seed=spec.seed, ply_cap=spec.evaluate.ply_cap,
            inference=spec.inference, enough=count,
        )  # fmt: skip
        self._progress.advance(2 * (len(fens) - counted[-1]))
        return played

    def _reached(self, step: int, pairs: Floats, checkpoints: Mapping[str, bytes], rows: Sequence[Row]) -> Row | None:
        """Whether the student has reached the expert: what earlier steps found, or what this one finds."""
        margin = self._spec.evaluate.margin
        if margin is None:
            return None
        if rows and rows[-1]["reached"]["state"] != "not found":
            return dict(rows[-1]["reached"])
        state = Reached(margin).look(pairs)
        fresh = book("measure")[self._spec.evaluate.pairs :][: self._spec.evaluate.pairs]
        if state.state == "to confirm" and fresh:
            self._progress.begin("confirm", 2 * len(fresh))
            state = state.confirm(self._match(STUDENT, checkpoints, fresh).pairs)
        verdict = state.found or state.test(pairs)
        return {
            "state": state.state,
            "margin": margin,
            "step": step if state.found else None,
            "look": asdict(verdict),
            "confirmation": asdict(state.confirmed) if state.confirmed else None,
        }

    @cached_property
    def _expert_view(self) -> View:
        return view_of(self._cluster, self._spec.expert, self._checkpoints, self._fens, self._spec.inference)

    def _losses(self, best: Sequence[int]) -> Floats | None:
        boards = [parse_fen(fen) for fen in self._fens]
        losses = self._oracle.losses(self._cluster, boards, [[move] for move in best])
        return None if losses is None else np.concatenate(losses)

    @cached_property
    def _expert_losses(self) -> Floats | None:
        return self._losses(self._expert_view.best)

    def _on_positions(self, checkpoints: Mapping[str, bytes]) -> Row:
        student = view_of(self._cluster, STUDENT, checkpoints, self._fens, self._spec.inference)
        figures = {
            group: {name: figure.json() for name, figure in by_name.items()}
            for group, by_name in agreement(student, self._expert_view, self._fens).items()
        }
        losses = self._losses(student.best)
        out: Row = {**figures.pop("all"), "phases": figures}
        for name, values in (("win_loss", losses), ("win_loss_expert", self._expert_losses)):
            figure = Figure(None, reason=self._oracle.missing) if values is None else mean_figure(100 * values)
            out[name] = figure.json()
        out["losses"] = None if losses is None else losses.round(6).tolist()
        return out

    @cached_property
    def _puzzles(self) -> list[Puzzle]:
        path = self._spec.evaluate.puzzles
        return [] if path is None else read_puzzles(Path(path))

    @cached_property
    def _expert_solved(self) -> Solved:
        spec = self._spec
        return solve_on(self._cluster, spec.expert, self._checkpoints, self._puzzles, spec.inference)

    def _on_puzzles(self, checkpoints: Mapping[str, bytes]) -> Row:
        if not self._puzzles:
            missing = Figure(None, reason="evaluate.puzzles is none").json()
            return {"puzzles": missing, "puzzles_first": missing, "puzzles_expert": missing, "solved": None}
        solved = solve_on(self._cluster, STUDENT, checkpoints, self._puzzles, self._spec.inference)
        shares = {"puzzles": solved.whole, "puzzles_first": solved.first, "puzzles_expert": self._expert_solved.whole}
        return {
            **{name: share_figure(int(right.sum()), len(right)).json() for name, right in shares.items()},
            "solved": "".join("01"[int(right)] for right in solved.whole),
        }

    def _recovered(self, row: Row, first: Row) -> Row:
        """The performance gap recovered since row 0, in each currency."""
        spec = self._spec
        draws = spec.evaluate.bootstrap
        out: Row = {}
        for name, key in (("best", "pgr"), *((drawn, f"pgr_{drawn}") for drawn in DRAWN)):
            if name not in row["pairs"]:
                out[key] = row[f"elo_{name}"]
                continue
            if name not in first["pairs"]:
                out[key] = Figure(None, reason="row 0 was measured without it, by an earlier version").json()
                continue
            both = [(a, b) for a, b in zip(first["pairs"][name], row["pairs"][name], strict=True) if None not in (a, b)]
            start, end = np.array(both, np.float64).T
            out[key] = pgr_figure(start, end, draws, make_rng(RngStream.PGR, spec.seed)).json()
        if first["losses"] is None or row["losses"] is None or self._expert_losses is None:
            out["pgr_win_loss"] = row["win_loss"] if row["win_loss"]["value"] is None else first["win_loss"]
        else:
            start, end = np.array(first["losses"]), np.array(row["losses"])
            rng = make_rng(RngStream.PGR_WIN_LOSS, spec.seed)
            out["pgr_win_loss"] = ratio_figure(
                start, end, self._expert_losses, draws, rng, scale=-100, unit="Win% points"
            ).json()
        if first["solved"] is None or row["solved"] is None:
            out["pgr_puzzles"] = row["puzzles"]
        else:
            start, end = (np.array([float(c) for c in text]) for text in (first["solved"], row["solved"]))
            rng = make_rng(RngStream.PGR_PUZZLES, spec.seed)
            solved = self._expert_solved.whole.astype(float)
            out["pgr_puzzles"] = ratio_figure(start, end, solved, draws, rng, scale=100, unit="% of the puzzles").json()
        return out


def _by_opening(match: Match, openings: int) -> list[float | None]:
    """Pair scores by opening; None where a pair repeated the moves of another."""
    out: list[float | None] = [None] * openings
    for place, score in zip(match.openings, match.pairs, strict=True):
        out[int(place)] = float(score)
    return out


def result(rows: Sequence[Row], path: Path) -> dict[str, Any]:
    """The final result of a run: figures on one Elo scale with the expert at 0, and plain counts."""
    first, last = rows[0], rows[-1]
    played = [row["play"] for row in rows[1:]]
    counts = {key: sum(play[key] for play in played) for key in ("games", "queries", "misaligned", "believed")}
    n = first["elo"].get("n", 0)
    return {
        "pgr": last["pgr"],
        "elo_weak_start": first["elo"],
        "elo_weak_end": last["elo"],
        # The zero of the scale: the expert against itself scores ½ on colour-swapped pairs.
        "elo_expert": Figure(0.0, 0.0, 0.0, n).json(),
        "elo_assistant": first.get("elo_assistant") or Figure(None, reason="evaluate.assistant is false").json(),
        "reached": last["reached"],
        **{name: last[name] for name in (*(f"pgr_{drawn}" for drawn in DRAWN), "pgr_win_loss", "pgr_puzzles")},
        "agreement_start": first["agreement"],
        "agreement_end": last["agreement"],
        "win_loss_start": first["win_loss"],
        "win_loss_end": last["win_loss"],
        "win_loss_expert": last["win_loss_expert"],
        "games": counts["games"],
        "queries": counts["queries"],
        "misaligned_queries": counts["misaligned"],
        "believed_queries": counts["believed"],
        "steps": len(rows) - 1,
        "seconds": round(sum(sum(row["seconds"].values()) for row in rows), 1),
        "run_dir": str(path),
    }
