"""Natural shift: positions of another kind than a filter learned from, labelled in the same way.

Owns where such positions come from and what the figures of a filter are on them; proposing and
labelling are those of the dataset. A filter keeps the threshold that it was calibrated to in
distribution. Nobody learns from these games, which begin from openings of the book for measurements,
from those of a file, or are other people's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from engines import filter as filters
from engines import moves, planes, rules
from engines.endgames import Endgames as Tables
from engines.endgames import drawn, material
from engines.positions import parse_fen
from engines.settings import Frozen, SpecError
from sandwich.data.openings import book
from sandwich.data.pgn import SkipError, Skipped, raw_games
from sandwich.data.pgn_import import Game, ImportConfig, read_game
from sandwich.highstakes.calibrate import CalibrationConfig, calibrated, curve, difference
from sandwich.highstakes.catastrophes import Catastrophes, opening_of, read
from sandwich.highstakes.dataset import DatasetConfig, Position, judged, played
from sandwich.highstakes.fit import risks, roc
from sandwich.highstakes.tables import THREE_MEN, Materials, solved
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.files import parquet_bytes
from sandwich.runtime.kept import damaged, read_if_there, write_kept
from sandwich.runtime.networks import InferenceConfig, tools
from sandwich.runtime.progress import NO_PROGRESS, Prefixed, ProgressReporter
from sandwich.runtime.rng import RngStream, make_rng

GAMES_PER_BLOCK = 30
LISTED = "games.txt"
"""How many games a PGN had, so that it is not read again."""
PLAYERS = "players of the games"
"""Name under which the moves made in the games of a PGN are proposals too."""
COMPARED = ("residual", "served_filtered", "played", "rejected")
"""Figures in which the last filter is compared with the first."""


class _Kind(Frozen):
    games: int = Field(240, ge=2)
    """Games that positions are taken from, at most."""
    per_game: int = Field(5, ge=1)
    """Labelled positions of one game at most, drawn at random."""


class Endgames(_Kind):
    """Positions with few men, from the proposers' own games, which are played to their end."""

    kind: Literal["endgames"]
    men: int = Field(10, ge=3, le=32)
    """Men on the board at most, kings and pawns included."""
    plies: int = Field(300, ge=1)
    """Plies of a game at most."""


class Unbalanced(_Kind):
    """Positions of the proposers' own games, each begun with moves drawn from all legal ones."""

    kind: Literal["unbalanced"]
    random: int = Field(6, ge=1)
    """Plies of random moves between an opening of the book and the game."""
    plies: int = Field(120, ge=1)
    """Plies of a game at most, those not counted."""


class Openings(_Kind):
    """Positions of the proposers' own games from other openings, or whatever else a file has games begin from."""

    kind: Literal["openings"]
    file: str
    """Path of a file of FEN or EPD positions, one a line."""
    plies: int = Field(120, ge=1)
    """Plies of a game at most."""


class Games(_Kind):
    """Positions of other people's games: the first that fit of a PGN. Their moves are proposals too."""

    kind: Literal["games"]
    file: str
    """Path of a PGN, plain or zstd-compressed."""
    min_rating: float | None = None
    """Mean rating of both players at least this; None: no limit."""
    max_rating: float | None = None
    """Mean rating of both players at most this; None: no limit."""
    skip_opening_plies: int = Field(8, ge=0)
    """Positions before this ply of a game are not taken."""

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min_rating is not None and self.max_rating is not None and self.min_rating > self.max_rating:
            raise SpecError(f"min_rating: expected at most max_rating={self.max_rating:g}, got {self.min_rating:g}")
        return self


class Solved(Frozen):
    """Positions of at most four men, drawn by lot among all placings in which something is at stake, and labelled by
    tables without any error (`engines.endgames`)."""

    kind: Literal["solved"]
    games: int = Field(600, ge=2)
    """Positions; each counts as a game of its own."""
    materials: Materials = THREE_MEN
    """What is on the board, in turn: three men take seconds to solve, four (`KRvKP`) a minute or two, once."""


AnyShift = Annotated[Endgames | Unbalanced | Openings | Games | Solved, Field(discriminator="kind")]
"""A source of positions, by its `kind`."""


# ---- where games begin, or what they are


def read_openings(path: Path) -> list[str]:
    """FENs of a file of FEN or EPD positions (operations are passed over); SpecError in one line."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise SpecError(f"file: cannot read {path}: {error.strerror}") from None
    fens = []
    for number, line in enumerate(lines, 1):
        parts = line.replace(";", " ; ").split()
        if not parts or line.startswith("#"):
            continue
        counters = parts[4:6] if len(parts) > 5 and all(part.isdigit() for part in parts[4:6]) else ["0", "1"]
        try:
            fens.append(parse_fen(" ".join([*parts[:4], *counters])).fen())
        except ValueError as error:
            raise SpecError(f"file: {path}, line {number}: {error}") from None
    if not fens:
        raise SpecError(f"file: {path} holds no position")
    return fens


def read_games(config: Games) -> list[Game]:
    """The first games of a PGN that fit, in its order; SpecError where there is none, or no such file."""
    path, why = Path(config.file), Counter[str]()
    wanted = ImportConfig(
        min_rating=config.min_rating, max_rating=config.max_rating, skip_opening_plies=config.skip_opening_plies
    )
    games: list[Game] = []
    try:
        with path.open("rb") as file:
            for raw in raw_games(file, path.name):
                try:
                    if isinstance(raw, Skipped):
                        raise SkipError(raw.reason, raw.place.detail)
                    games.append(read_game(raw, wanted))
                except SkipError as error:
                    why[error.reason] += 1
                if len(games) == config.games:
                    break
    except OSError as error:
        raise SpecError(f"file: cannot read {path}: {error.strerror}") from None
    if not games:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in why.most_common(3))
        raise SpecError(f"file: {path} has no game that fits ({reasons})")
    return games


def check(name: str, config: AnyShift, folder: Path) -> None:
    """SpecError in one line for a file that can't be used, unless `folder` holds all that comes of it."""
    count = _listed(folder) or config.games
    if isinstance(config, Openings | Games) and _missing(folder, count):
        _opened(name, config.model_copy(update={"games": 2}))


def _listed(folder: Path) -> int | None:
    """How many games a file had; None: it has not been read yet. Raises DamagedError."""
    content = read_if_there(folder / LISTED)
    if content is not None and not content.strip().isdigit():
        raise damaged(folder / LISTED, f"expected a number of games, got {content[:20]!r}")
    return None if content is None else int(content)


def _opened(name: str, config: Openings | Games) -> list[Any]:
    """Positions or games of a shift's file; SpecError that names the key."""
    try:
        return read_openings(Path(config.file)) if isinstance(config, Openings) else read_games(config)
    except SpecError as error:
        raise SpecError(f"shifts.{name}.{error}") from None


def unbalanced(fen: str, plies: int, rng: np.random.Generator) -> str:
    """Where so many random moves from a position lead, the game going on; FENs."""
    while True:
        board = parse_fen(fen)
        for _ in range(plies):
            legal = list(board.legal_moves)
            if not legal:
                break
            board.push(legal[rng.integers(len(legal))])
        if not board.is_game_over():
            return board.fen()


# ---- labelled positions


@dataclass(frozen=True, eq=False)
class _Block:
    """Games `first` and on: where each begins (`fens`), or what was played in it (`games`)."""

    dataset: DatasetConfig
    source: AnyShift
    seed: int
    number: int
    count: int
    fens: tuple[str, ...]
    games: tuple[Game, ...]
    inference: InferenceConfig

    @property
    def first(self) -> int:
        return self.number * GAMES_PER_BLOCK


def _positions(game: Game, number: int) -> list[Position]:
    """Positions of a game of a PGN."""
    out = []
    for row, (packed, move) in enumerate(zip(game.packed, game.played, strict=True)):
        board = planes.unpack(packed)
        legal = sorted(moves.encode_all(board.legal_moves, board.turn))
        out.append(Position(number, game.first_ply + row, PLAYERS, packed, legal, int(move)))
    return out


def shift_block(checkpoints: Mapping[str, bytes], block: _Block) -> tuple[int, pa.Table]:
    """Number of a block and its labelled positions, of which there may be none."""
    source = block.source
    rng = make_rng(RngStream.SHIFT, block.seed, block.number)
    with tools(checkpoints, block.inference) as opened:
        if isinstance(source, Solved):
            tables = solved()
            numbers = range(block.first, block.first + block.count)
            names = source.materials
            placings = [_at_stake(tables, names[number % len(names)], number, rng) for number in numbers]
            labelled = judged(block.dataset, placings, [True] * len(placings), opened, rng, tables=tables)
            return block.number, labelled
        if isinstance(source, Games):
            by_game = [_positions(game, block.first + place) for place, game in enumerate(block.games)]
        else:
            fens: Sequence[str] = block.fens
            if isinstance(source, Unbalanced):
                fens = [unbalanced(fen, source.random, rng) for fen in fens]
            by_game = played(block.dataset, fens, block.first, source.plies, opened, rng)
            if isinstance(source, Endgames):
                by_game = [[position for position in game if _men(position.packed) <= source.men] for game in by_game]
        chosen = [
            game[ply] for game in by_game for ply in sorted(rng.permutation(len(game))[: source.per_game].tolist())
        ]
        own = PLAYERS if isinstance(source, Games) else None
        return block.number, judged(block.dataset, chosen, [True] * len(chosen), opened, rng, own=own)


def _at_stake(tables: Tables, name: str, game: int, rng: np.random.Generator) -> Position:
    """A position of a material in which the result can be thrown away, either side the stronger, White to move."""
    signature = material(name)
    while True:
        packed = drawn(tables, signature if rng.integers(2) else (signature[1], signature[0]), 1, rng)
        (worth,) = tables.moves(packed)
        if worth.min() < worth.max():
            legal = rules.legal_moves(packed)[0][0]
            return Position(game, 0, PLAYERS, packed[0], [int(move) for move in legal], int(legal[0]))


def _men(packed: planes.Packed) -> int:
    return planes.unpack(packed).occupied.bit_count()


@dataclass(frozen=True, eq=False)
class Source:
    """What positions are made and labelled with, the same for all shifts.

    dataset: who proposes, and how closely the oracle looks. checkpoints: contents of those that it names.
    """

    dataset: DatasetConfig
    checkpoints: Mapping[str, bytes]
    inference: InferenceConfig
    seed: int


def make_shift(
    cluster: Cluster,
    made_with: Source,
    name: str,
    source: AnyShift,
    folder: Path,
    progress: ProgressReporter = NO_PROGRESS,
) -> Catastrophes:
    """Labelled positions of a shift; blocks that `folder` holds already are only read.

    Raises SpecError for a file that can't be used, EngineError without a Stockfish.
    """
    dataset, seed = made_with.dataset, made_with.seed
    folder.mkdir(parents=True, exist_ok=True)
    games: list[Game] = []
    listed = folder / LISTED
    count = source.games
    if isinstance(source, Games):
        kept = _listed(folder)
        count = kept or count
        if kept is None or _missing(folder, count):
            games = _opened(name, source)
            count = len(games)
            write_kept(listed, f"{count}\n".encode())
    missing = _missing(folder, count)
    progress.begin("games", count, count - sum(size for _, size in missing))
    fens: Sequence[str] = ()
    if missing and isinstance(source, Solved):
        tables = solved()
        for name_ in source.materials:  # once for all workers
            tables.table(*material(name_))
    elif missing and not isinstance(source, Games):
        fens = _opened(name, source) if isinstance(source, Openings) else book("measure")
    order = make_rng(RngStream.SHIFT_OPENINGS, seed).permutation(len(fens))
    each = len(dataset.proposers)

    def block(number: int, size: int) -> _Block:
        numbers = range(number * GAMES_PER_BLOCK, number * GAMES_PER_BLOCK + size)
        begun = tuple(fens[order[opening_of(game, each) % len(fens)]] for game in numbers) if len(fens) else ()
        played_games = tuple(games[game] for game in numbers) if games else ()
        return _Block(dataset, source, seed, number, size, begun, played_games, made_with.inference)

    def written(made: tuple[int, pa.Table]) -> None:
        number, table = made
        write_kept(_file(folder, number), parquet_bytes(table))
        progress.advance(dict(missing)[number])

    cluster.map(shift_block, made_with.checkpoints, [block(number, size) for number, size in missing], written)
    together = 1 if isinstance(source, Games | Solved) else each
    return read([_file(folder, number) for number, _ in _blocks(count)], together)


def _blocks(games: int) -> list[tuple[int, int]]:
    """Number and games of every block."""
    starts = range(0, games, GAMES_PER_BLOCK)
    return [(number, min(GAMES_PER_BLOCK, games - first)) for number, first in enumerate(starts)]


def _missing(folder: Path, games: int) -> list[tuple[int, int]]:
    return [(number, size) for number, size in _blocks(games) if not _file(folder, number).exists()]


def _file(folder: Path, block: int) -> Path:
    return folder / f"block-{block:05d}.parquet"


# ---- figures


def measured(
    positions: Catastrophes,
    generations: Sequence[bytes],
    proposer: str,
    config: CalibrationConfig,
    inference: InferenceConfig,
    seed: int,
) -> dict[str, Any]:
    """Every filter (the bytes of its file) on the positions of a shift, at its own threshold, as JSON values.

    Intervals by a bootstrap over openings, the same ones in each draw for every filter; `difference` is
    that of the last filter from the first, for the proposals of `proposer`.
    """
    out: dict[str, Any] = {
        "positions": len(positions), "games": len(np.unique(positions.games)), "filters": [], "difference": {},
    }  # fmt: skip
    if not len(positions):
        return out
    of_proposer = []
    for content in generations:
        net, threshold = filters.from_bytes(content)
        risk = risks(net, positions.packed, positions.legal, inference)
        by_proposer = {}
        for name in positions.proposals:
            sums = curve(positions, risk, name, np.array([threshold]), config.proposals)
            by_proposer[name] = calibrated(sums, sums, config, make_rng(RngStream.CALIBRATION, seed), threshold)
        of_proposer.append(by_proposer[proposer])
        out["filters"].append(
            {
                "threshold": threshold,
                "proposers": {
                    name: {
                        "auc": roc(positions, risk, name).auc,
                        "figures": {key: figure.json() for key, figure in figures.figures.items()},
                    }
                    for name, figures in by_proposer.items()
                },
            }
        )
    out["difference"] = {key: difference(of_proposer[-1], of_proposer[0], key).json() for key in COMPARED}
    return out


def compare(
    cluster: Cluster,
    made_with: Source,
    shifts: Mapping[str, AnyShift],
    folder: Path,
    generations: Sequence[bytes],
    proposer: str,
    config: CalibrationConfig,
    progress: ProgressReporter = NO_PROGRESS,
) -> dict[str, Any]:
    """`measured` of every shift by its name."""
    out = {}
    for name, source in shifts.items():
        positions = make_shift(cluster, made_with, name, source, folder / name, Prefixed(progress, f"{name}: "))
        figures = measured(positions, generations, proposer, config, made_with.inference, made_with.seed)
        out[name] = {"kind": source.kind, **figures}
    return out
