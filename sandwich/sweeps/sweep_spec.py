"""What a sweep is made of: a run, and the keys in which its cells differ from it."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from engines.settings import Frozen, SpecError
from sandwich.spec.kinds import SWEEP, read_spec
from sandwich.spec.loading import Override, spec_settings
from sandwich.spec.shipped import find_spec

Values = dict[str, Any]
"""Values of dotted keys of a run's spec."""


class Range(Frozen):
    """Evenly spaced values of a key."""

    start: float
    """The first value."""
    stop: float
    """The last value."""
    count: int = Field(ge=2, le=10_000)
    """How many, both ends included."""
    log: bool = False
    """Evenly spaced logarithms instead; both ends are then over 0."""

    @model_validator(mode="after")
    def _positive(self) -> "Range":
        if self.log and min(self.start, self.stop) <= 0:
            raise ValueError(f"expected ends over 0 for log: true, got {self.start:g} and {self.stop:g}")
        return self

    def values(self) -> list[float]:
        """The values, rounded to twelve digits."""
        ends = [math.log(end) if self.log else end for end in (self.start, self.stop)]
        even = [ends[0] + (ends[1] - ends[0]) * place / (self.count - 1) for place in range(self.count)]
        return [float(f"{math.exp(value) if self.log else value:.12g}") for value in even]


def _spread(values: Any) -> Any:
    """Values of a key: a range's where it is one."""
    return Range.model_validate(values).values() if isinstance(values, dict) else values


def _dotted(values: Any) -> Any:
    """Settings within settings as dotted keys; a range stays a value."""
    if not isinstance(values, Mapping):
        return values
    return dict(dotted_leaves(values, whole=lambda value: "start" in value))


class SweepSpec(Frozen):
    """Which runs a sweep is made of."""

    name: str = Field("sweep", min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")
    """Name of the sweep, of its folder, and of the W&B group of its runs; where a file does not say it, the file's."""
    run: str | dict[str, Any]
    """The run that every cell is but for some keys: a spec's file beside this one, the name of a shipped spec, or
    its settings."""
    fixed: Annotated[dict[str, Any], BeforeValidator(_dotted)] = Field(default_factory=dict)
    """Keys that all cells have otherwise than that run."""
    over: Annotated[dict[str, Annotated[list[Any], BeforeValidator(_spread)]], BeforeValidator(_dotted)] = Field(
        default_factory=dict
    )
    """Values of dotted keys, as a list or a `Range`; every combination is a cell."""
    cells: list[dict[str, Any]] = Field(default_factory=list)
    """Keys with their values, set together; each of these is combined with `over`."""
    workers: int = Field(1, ge=1)
    """Ray workers of one cell; as many cells run at once as there is room for."""
    retries: int = Field(1, ge=0)
    """Times that a failed cell is tried again."""
    storage: str | None = None
    """A folder for copies of the sweep's folder, under its name: a path, or a URI that pyarrow knows, such as
    `s3://bucket/runs`. What the sweep's folder lacks is brought from there, so that any machine can go on."""

    @model_validator(mode="after")
    def _something(self) -> "SweepSpec":
        if empty := [key for key, values in self.over.items() if values == []]:
            raise ValueError(f"over.{empty[0]}: expected at least one value, got none")
        return self

    def combinations(self) -> Iterator[Values]:
        """Values of each cell."""
        for together in self.cells or [{}]:
            for chosen in itertools.product(*self.over.values()):
                yield {**together, **dict(zip(self.over, chosen, strict=True))}


def load_sweep(source: str | Path, *overrides: Override | Iterable[Override], **keys: Any) -> SweepSpec:
    """The spec of a sweep: of a YAML file, or the shipped one of that name, with other values of some keys.

    Overrides and keys are those of `sandwich.spec.run_spec.load_spec`. The run that it names is read, so that it
    needs no other file any more, but for those of plugins. Raises SpecError.
    """
    sweep, path = read_spec(SweepSpec, SWEEP, source, *overrides, keys)
    return sweep.model_copy(update={"run": run_settings(sweep, path.parent)})


def run_settings(sweep: SweepSpec, beside: Path) -> dict[str, Any]:
    """Settings of the run that every cell is but for some keys. Raises SpecError."""
    if not isinstance(sweep.run, str):
        return sweep.run
    file = beside / sweep.run
    try:
        source = find_spec(file if file.is_file() else sweep.run)
    except SpecError as error:
        raise SpecError(f"run: {error}") from None
    return spec_settings(source)


def dotted_leaves(
    settings: Mapping[str, Any],
    prefix: str = "",
    whole: Callable[[Mapping[str, Any]], bool] = lambda value: False,
) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested settings; a mapping that is to stay whole is a value."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value and not whole(value):
            yield from dotted_leaves(value, f"{prefix}{key}.", whole)
        else:
            yield f"{prefix}{key}", value
