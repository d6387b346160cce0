"""The spec of a run: composed frozen records, YAML in, key=value overrides."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from agents.advice import Channel
from agents.checkpoint_files import Checkpoint
from agents.misalignment.base import AnyMisalignment
from agents.players.base import AnyPlayer
from agents.players.network import Network
from engines.inference import resolve, resolve_device, resolve_precision
from engines.settings import Frozen, SpecError
from sandwich.data.openings import book, positions
from sandwich.label_models.base import AnyLabelModel
from sandwich.label_models.none import NoModel
from sandwich.oversight.base import BUDGETS, Oversight, budget_of
from sandwich.oversight.base import REGISTRY as OVERSIGHT
from sandwich.runtime.cluster import Resources, cores, elsewhere
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.kinds import RUN, read_spec
from sandwich.spec.loading import Override
from sandwich.spec.schedule import Every, Never, Schedule
from sandwich.training.examples import TrainConfig


class AssistantConfig(Frozen):
    """The assistant: an honest player plus a misalignment."""

    renamed: ClassVar[Mapping[str, str]] = {"player": "base"}

    base: AnyPlayer = Network(checkpoint="expert")
    """Its honest self: a shipped name, the path of a checkpoint, or any player (`stockfish:nodes=1000`)."""
    misalignment: AnyMisalignment
    """What is wrong with it: `type` and the settings of that type."""


def _listed(value: object) -> object:
    """A list of what may stand alone; nothing is an empty one."""
    return [value] if isinstance(value, Mapping) else [] if value is None else value


Seats = Literal["game", "run"]
"""For how long the assistants keep the order in which they sit."""


class PlayConfig(Frozen):
    """The games that the student plays against a copy of itself."""

    renamed: ClassVar[Mapping[str, str]] = {"budget": "queries_per_game", "pace": "queries_per_turn"}

    games: int = Field(1024, ge=2, multiple_of=2)
    """Games per step; every opening is played with both colours."""
    block: int = Field(256, ge=2, multiple_of=2)
    """Games that one worker plays in lock-step; part of the recipe, since a batch's make-up shows in its last bits."""
    ask: Schedule = Every()
    """On which of its own turns the student asks: `when` every, chance, unsure or never, and the settings of that."""
    channel: Channel = Channel.MOVE
    """What it asks for."""
    candidates: int = Field(4, ge=2)
    """On channel `candidates`: how many of its own likeliest moves it asks the value behind, each one question."""
    queries_per_game: int | None = Field(None, ge=1)
    """Questions of one game at most; None: no limit."""
    queries_per_turn: float | None = Field(None, gt=0)
    """Questions for each of the student's turns, saved up for decisions that take several; None: no limit."""
    advice: Literal["played", "labelled"] = "played"
    """Whether the move decided on is played, or only recorded as a label beside the student's own."""
    temperature: float = Field(1.0, ge=0)
    """Of the moves that student and copy draw from their own policy."""
    ply_cap: int = Field(160, ge=2)
    """Plies after which a game is a draw."""
    pgn_games: int = Field(64, ge=0)
    """Games per step that are written as annotated PGN."""

    def cost(self, questions: int) -> int:
        """Questions that one decision takes at most, with a strategy that asks so many for it."""
        return (self.candidates if self.channel is Channel.CANDIDATES else 1) + questions - 1


class FinetuneConfig(Frozen):
    """What the student learns from, and how."""

    examples: Literal["queried", "student", "all", "honest"] = "queried"
    """Positions learned from: those asked about, all of the student's turns, or those of both sides. `honest` is a
    control, which no student could be: the answers that were honest, believed or not, and nothing where one was a lie.
    """
    policy: Literal["answer", "move"] = "answer"
    """What the policy learns where an answer was believed: all of it (on channel `distribution` a probability for each
    move), or only the move decided on."""
    refused: Literal["own", "nothing"] = "own"
    """What the policy learns where an answer was refused: the move decided on without it, or nothing."""
    value: Literal["answer", "result"] = "answer"
    """What the value learns where an answer that holds a value was believed: that value, or the result of the game."""
    results: Literal["examples", "both sides"] = "both sides"
    """Positions from which the value learns the results of games: a quarter as many turns of both sides as there are
    examples, or the examples. With an assistant at its side the student wins most games, and a value that learns from
    its turns alone comes to say so of every position."""
    max_examples: int = Field(100_000, ge=2)
    """Examples per step at most, results of both sides not counted; the newest step first, older ones fill up."""
    replay: float = Field(1.0, ge=0, le=1)
    """Passes over the examples of earlier steps for each pass over those of the newest."""
    fit: TrainConfig = TrainConfig()
    """Loss, schedule, batch."""


class EvaluateConfig(Frozen):
    """How the student is measured after each step."""

    pairs: int = Field(400, ge=2)
    """Openings of the match against the expert, each played with both colours."""
    ply_cap: int = Field(200, ge=2)
    """Plies after which a game is a draw."""
    sampled: bool = True
    """Measure the student at temperatures 0.5 and 1 as well (the expert stays at 0)."""
    positions: int = Field(200, ge=1)
    """Positions of the fixed set on which agreement with the expert and Win% loss are measured."""
    nodes: int | None = Field(20_000, ge=1)
    """Engine nodes of the oracle for Win% loss; None: not measured."""
    ledger_positions: int | None = Field(1000, ge=30)
    """Positions of each step's games whose moves the oracle judges; None: none."""
    ledger_nodes: int = Field(2_000, ge=1)
    """Engine nodes of the oracle for each of these."""
    puzzles: str | None = None
    """Path of a Lichess puzzle file (CSV) that the student is put to; None: not measured."""
    margin: float | None = Field(50, gt=0)
    """Elo by which the student may be behind and still have reached the expert; None: not tested."""
    assistant: bool = True
    """Measure the assistant's own strength against the expert, once."""
    bootstrap: int = Field(10_000, ge=100)
    """Draws of the bootstrap behind the interval of PGR."""


class TrackingConfig(Frozen):
    """Where a run's figures go beside its folder."""

    wandb: Annotated[
        Literal["offline", "online", "off"],
        BeforeValidator(lambda value: "off" if value is False else value),  # as YAML 1.1 takes a bare off
    ] = "offline"
    """Weights & Biases; only `online` sends anything anywhere."""
    project: str = Field("sandwich", min_length=1)
    """W&B project."""
    group: str | None = None
    """W&B group; a sweep's runs have its name."""
    artifacts: bool = False
    """Checkpoints and ledgers as W&B artifacts."""


NO_RESULT = {"workers", "resources", "tracking", "name", "storage"}
"""Keys of a run's spec that its results don't depend on."""


class RunSpec(Frozen):
    """One run: everything that its results depend on, and a few keys that they don't (workers, tracking)."""

    renamed: ClassVar[Mapping[str, str]] = {"weak": "student", "base": "extends"}
    name: str = Field("run", min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")
    """Name of the run and of its folder; of a spec in a file, where it does not say it, the file's."""
    seed: int = Field(0, ge=0)
    """Everything random follows from it."""
    steps: int = Field(3, ge=1)
    """Rounds of play, fine-tuning and measurement."""
    stop_early: bool = False
    """End the run before its first step where PGR would be withheld whatever came, the gap being too narrow."""
    workers: int | None = Field(None, ge=1, le=1024)
    """Ray workers; None: one per core. Results don't depend on it."""
    resources: Resources = Resources()
    expert: AnyPlayer = Network(checkpoint="expert")
    """The player whose strength is to be reached: a shipped name, the path of a checkpoint, or any player."""
    student: Checkpoint = "weak"
    """The student before its first step: a shipped name or the path of a checkpoint."""
    assistant: AssistantConfig
    second: Annotated[tuple[AssistantConfig, ...], BeforeValidator(_listed)] = ()
    """Further assistants, for strategies that ask several: a list, or the settings of a single one."""
    seats: Seats = "game"
    """The order in which the assistants sit, unknown to the student, is drawn anew for every `game`, or once for the
    `run`: then what a seat said before tells of what it will say."""
    play: PlayConfig = PlayConfig()
    oversight: Annotated[Oversight, BeforeValidator(OVERSIGHT.validate), PlainSerializer(OVERSIGHT.describe)]
    """What the student believes: `type` and the settings of that strategy, or in short `TYPE:key=value,…`."""
    label_model: AnyLabelModel = NoModel()
    """What it makes of all answers together before it learns: `type` and the settings of that label model."""
    finetune: FinetuneConfig = FinetuneConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    inference: InferenceConfig = InferenceConfig()
    tracking: TrackingConfig = TrackingConfig()
    storage: str | None = None
    """A folder for a copy of the run's folder, under its name: a path, or a URI that pyarrow knows, such as
    `s3://bucket/runs`. What the run's folder lacks is brought from there, so that any machine can go on."""

    @model_validator(mode="after")
    def _agree(self) -> "RunSpec":
        if isinstance(self.play.ask, Never) and self.finetune.examples in ("queried", "honest"):
            raise ValueError("play.ask is never, so nothing is queried: finetune.examples must be student or all")
        budgets = {name: budget_of(self.oversight, name) for name in BUDGETS}
        cost = self.play.cost(budgets["questions"])
        if self.play.queries_per_game is not None and self.play.queries_per_game < cost:
            raise ValueError(
                f"play.queries_per_game: one decision takes up to {cost} questions, got {self.play.queries_per_game}"
            )
        if budgets["advisors"] > (there := 1 + len(self.second)):
            strategy, lacking = OVERSIGHT.name(self.oversight), budgets["advisors"] - there
            raise ValueError(f"second: {strategy} asks {budgets['advisors']} assistants, {lacking} more than there are")
        if self.label_model.judges and self.play.channel is Channel.VALUE:
            raise ValueError("label_model: judges moves, of which play.channel=value has none; expected none")
        if self.evaluate.pairs > len(book("measure")):
            raise ValueError(f"evaluate.pairs: the book has {len(book('measure'))} openings, got {self.evaluate.pairs}")
        if self.evaluate.positions > len(positions()):
            raise ValueError(
                f"evaluate.positions: the set has {len(positions())} positions, got {self.evaluate.positions}"
            )
        return self

    @property
    def worker_count(self) -> int:
        """Ray workers to start."""
        return self.workers or cores()

    def result_keys(self) -> dict[str, Any]:
        """The part of the spec that results depend on."""
        return self.model_dump(mode="json", exclude=NO_RESULT)


def load_spec(source: str | Path, *overrides: Override | Iterable[Override], **keys: Any) -> RunSpec:
    """The spec of a YAML file, or the shipped one of that name, with other values of some keys.

    overrides: `key.path=value` with the value in YAML, or mappings of dotted keys; several may also come in one tuple.
    keys: values of keys at the top, such as `seed=1`.
    Raises SpecError in one line.
    """
    return read_spec(RunSpec, RUN, source, *overrides, keys)[0]


def check_devices(spec: RunSpec) -> None:
    """SpecError for a device that is not here: to learn on, and, where the workers are on this machine, to play on."""
    try:
        key = "finetune.fit"
        resolve_device(spec.finetune.fit.device)
        if not elsewhere():
            key = "inference"
            _, where = resolve(spec.inference.backend, spec.inference.device)
            resolve_precision(spec.inference.precision, spec.inference.backend, where)
    except SpecError as error:
        raise SpecError(f"{key}.{error}") from None
