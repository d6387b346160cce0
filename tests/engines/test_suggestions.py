"""What somebody may have meant by a name that is not known."""

import pytest

from engines.suggestions import did_you_mean, near


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("trsut", "trust"), ("Trust", "trust"), ("plausibel", "plausible"), ("xyz", None), ("", None)],
)
def test_the_known_name_most_like_what_was_typed_is_found(typed: str, meant: str | None) -> None:
    assert near(typed, ("trust", "veto", "plausible")) == meant
    assert did_you_mean(typed, ("trust", "veto", "plausible")) == (f"did you mean {meant}? " if meant else "")
