"""Settings: frozen, checked records with a sentence under each field. Every room builds on these."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class SpecError(ValueError):
    """A setting that can't be: one line naming the key, what was found and what is allowed."""


class Frozen(BaseModel):
    """A record of settings: keyword-only, checked, unchangeable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def explain(model: type[BaseModel], error: ValidationError) -> str:
    """The first mistake in one line: the key, the value and what is allowed."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        parent: Any = model
        for part in path[:-1]:
            parent = parent.model_fields[part].annotation
        return f"{key}: unknown key; known here: {', '.join(parent.model_fields)}"
    if first["type"] == "missing":
        return f"{key}: missing"
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first.get("ctx", {}).get("error"), SpecError):  # from a record below: it names the key itself
        return f"{key}.{message}"
    if not key:  # a check of the whole record, which names its keys itself
        return message
    return f"{key}: {message}" + (f", got {first['input']!r}" if not isinstance(first["input"], dict) else "")
