"""Settings: frozen, checked records with a sentence under each field. Every room builds on these."""

from pydantic import BaseModel, ConfigDict


class SpecError(ValueError):
    """A setting that can't be: one line naming the key, what was found and what is allowed."""


class Frozen(BaseModel):
    """A record of settings: keyword-only, checked, unchangeable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
