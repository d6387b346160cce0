"""The controls of a run: the same run but for one thing, without which its PGR says little."""

from agents.misalignment.random_move import RandomMove
from sandwich.config import RunSpec
from sandwich.oversight.ignore import Ignore

FOLDER = "controls"
"""Folder in a run's own that holds a run folder for each of its controls."""

MEANING = {
    "own_moves": "no answer is believed: as many examples, all of its own moves",
    "honest": "the assistant never lies",
    "always_misaligned": "every answer is misaligned",
}
"""What each control changes."""


def controls(spec: RunSpec) -> dict[str, RunSpec]:
    """Specs of a run's controls by name; `always_misaligned` only where the misalignment's dose is a probability.

    They are in the run's own W&B group, or in one of its name.
    """

    tracking = spec.tracking.model_copy(update={"group": spec.tracking.group or spec.name})

    own = spec.finetune.model_copy(update={"refused": "own"})  # it believes nothing, and must learn something

    def but(name: str, **changes: object) -> RunSpec:
        return spec.model_copy(update={"name": f"{spec.name}-{name}", "tracking": tracking, **changes})

    def misaligned(misalignment: object) -> dict[str, object]:
        return {"assistant": spec.assistant.model_copy(update={"misalignment": misalignment})}

    found = {
        "own_moves": but("own_moves", oversight=Ignore(), finetune=own),
        "honest": but("honest", **misaligned(RandomMove(p=0))),
    }
    misalignment = spec.assistant.misalignment
    if "p" in type(misalignment).model_fields:
        always = misalignment.model_copy(update={"p": 1.0})
        found["always_misaligned"] = but("always_misaligned", **misaligned(always))
    return found
